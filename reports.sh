# usage: reports.sh a|b
source /tmp/wt/env.sh; cd /tmp/wt/mini; source /tmp/wt/env.sh; export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
D="--data data/simulated --engine torch"; R=benchmarks/results; L=/tmp/wt/mini_work
cmd(){ n=$1; shift; date; echo "$@"; mreactor-eval "$@" > $L/r_$n.txt 2>&1 || echo FAIL $n; }
case $1 in
a) cmd quality reactions $D --output $R/quality-mini-cpu.json
   cmd streams streams --data data/simulated --limit 8 --output $R/streams-mini-cpu.json
   ;;
b) cmd control control $D --output $R/control-mini-cpu.json
   cmd identity identity $D --output $R/identity-mini-cpu.json
   cmd c8 control --data data/simulated --limit 8 --output $R/control-mini-8-cpu.json
   cmd c8l control --data data/simulated --limit 8 --listener 0 --output $R/control-mini-8-listener-0-cpu.json
   cmd c8g control --data data/simulated --limit 8 --guidance-scale 2 --output $R/control-mini-8-guidance-2-cpu.json
   ;;
esac
date
