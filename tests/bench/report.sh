#!/usr/bin/env bash
# report.sh REPORT
# Runs bench/report on a program that only pretends to measure: every kind of name gets its line, and
# a run that fails is not reported, whatever it had printed.
set -euo pipefail
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
mkdir "$build/bench"
cat >"$build/bench/pare_bench" <<'PRETENDER'
#!/usr/bin/env bash
names=(gemm/n_m/2:4/f32/16x8/64/1 ceiling/fma/f32/1 ceiling/read/l1/1 convert/f16_to_f32
    convert/f32_to_bf16/scalar)
gpu_name=cuda/hinm/2:4:v64:0.5/f16/16x8/64/0  # timed by the GPU
if [[ $1 == --benchmark_list_tests ]]; then
    printf '%s/process_time\n' "${names[@]}"
    echo "$gpu_name/manual_time"
    exit
fi
for name in "${names[@]}"; do
    rows+=${rows+,}'{"run_name":"'$name'/process_time","run_type":"iteration","time_unit":"us",
        "cpu_time":2.5,"real_time":9,"bytes":64,"capacity":1024}'
done
rows+=',{"run_name":"'$gpu_name'/manual_time","run_type":"iteration","time_unit":"us",
    "cpu_time":9,"real_time":3.5}'
echo "{\"benchmarks\":[$rows]}"
exit "$EXIT_CODE"
PRETENDER
chmod +x "$build/bench/pare_bench"

report() { "$1" . --build "$build" --table /dev/null; }

printed=$(EXIT_CODE=0 report "$1")
for line in 'gemm/n_m/2:4,f32,16x8,64,1,2.500,' 'ceiling/fma,f32,,,1,2.500,' 'ceiling/read/l1,,,,1,2.500,' \
    'convert/f16_to_f32,,,,1,2.500,' 'convert/f32_to_bf16/scalar,,,,1,2.500,' 'cuda/hinm/2:4:v64:0.5,f16,16x8,64,0,3.500,'; do
    grep -qF "$line" <<<"$printed" || { echo "no line '$line' in:"; echo "$printed"; exit 1; }
done
if printed=$(EXIT_CODE=3 report "$1" 2>&1); then
    echo "a failed run was reported:"; echo "$printed"; exit 1
fi
grep -qF 'exit code 3' <<<"$printed" || { echo "it does not say why: $printed"; exit 1; }
