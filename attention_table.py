import json,re,numpy as np
from pathlib import Path
d=json.loads(Path('benchmarks/results/attention-mini-cpu.json').read_text())
rows=''
for m in d['models']:
    name='mini, 5,000 steps' if m['name']=='mini' else m['kind']
    kinds=list(dict.fromkeys(x['attention'] for x in m['maps']))
    for k,kind in enumerate(kinds):
        xs=[x for x in m['maps'] if x['attention']==kind]
        f=lambda get: np.mean([np.mean(get(x)) for x in xs])
        loss='' if k or m['loss'] is None else f"{m['loss']:.3f}"
        rows+=f"| {'' if k else name} | {kind} | {f(lambda x:x['entropy']):.2f} | {f(lambda x:x['bias_alone']['entropy']):.2f} | {f(lambda x:x['distance']):.0f} | {f(lambda x:x['bias_alone']['distance']):.0f} |{' '+loss if loss else ''} |\n"
p=Path('docs/studies.md'); s=p.read_text()
m=re.search(r'(?m)^\| model \| attention \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)',s)
rows=rows.replace('|  |','| |')
print('same' if m.group(1)==rows else 'CHANGED'); print(rows)
p.write_text(s[:m.start(1)]+rows+s[m.end(1):])
