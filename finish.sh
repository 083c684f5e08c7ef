# waits for the training of PID $1, then measures, fills, commits on branch mini-next in /tmp/wt/mini_next
source /tmp/wt/env.sh; cd /tmp/wt/mini_next; source /tmp/wt/env.sh; export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
tail --pid=$1 -f /dev/null
[ -f runs/mini/model_card.md ] || { echo "training did not end well"; exit 1; }
install -m 644 runs/mini/model.safetensors mreactor_ref/models/mini.safetensors
cp runs/mini/history.jsonl benchmarks/results/training-mini.jsonl
python -m mreactor_bench.training_curve benchmarks/results/training-mini.jsonl docs/mini_loss.png
sed 's#cd /tmp/wt/mini;#cd /tmp/wt/mini_next;#; s#/tmp/wt/mini_work; cmd#/tmp/wt/mini_work; cmd#; s#L=/tmp/wt/mini_work#L=/tmp/wt/mini_work/r3#' /tmp/wt/mini_work/reports.sh > /tmp/wt/mini_work/reports3.sh
mkdir -p /tmp/wt/mini_work/r3
bash /tmp/wt/mini_work/reports3.sh a & bash /tmp/wt/mini_work/reports3.sh b & wait
mreactor-eval identity --data /tmp/wt/mini_work/long --engine torch > /tmp/wt/mini_work/r3/r_identity60.txt 2>&1
python /tmp/wt/mini_work/finish.py || exit 1
python -m pytest -q tests/bench/test_quality.py tests/bench/test_streams.py 2>&1 | tail -5
git add -A; git commit -qm "mini, trained anew: it follows its priors; card and figures"; git log --oneline -1; date
# the maps of the study; the prose below its table in docs/studies.md is for a person to read over
OMP_NUM_THREADS=2 mreactor-bench attention --steps 160 --frames 64 --learning-rate 2e-3 --output runs/attention || exit 1
cp runs/attention/attention.json benchmarks/results/attention-mini-cpu.json; cp runs/attention/attention.png docs/attention.png
python /tmp/wt/mini_work/attention_table.py
python -m pytest -q tests/bench/test_attention_study.py 2>&1 | tail -3
git add -A; git commit -qm "The attention maps of the new mini"; git log --oneline -1; date
