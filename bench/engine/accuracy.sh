#!/bin/bash
# usage: bench/engine/accuracy.sh [MODEL.gguf]...
#
# Prints a Markdown table: how far the native runtime is from libllama on the same weights, for each
# format that tools/requantize makes of each model. Without models: those that build/ was set up with.
#
# environment: LINES_SHORT  of classify500 (default 48), LINES_LONG  of summarise100 (default 16)
set -euo pipefail
cd "$(dirname "$0")/../.."

deps=$(sed -n 's/^TRANCHE_DEPS:[A-Z]*=//p' build/CMakeCache.txt)
accuracy=build/bench_accuracy
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
[[ $# -gt 0 ]] || set -- "$deps"/models/*.gguf

echo "| side | reference | rows of prompts + answers | perplexity: reference | side | | mean KL | same token, prompts | same token, answers |"
echo "|---|---|---|---|---|---|---|---|---|"
for model in "$@"; do
    for format in F16 Q8_0 Q4_0; do
        file=$folder/$(basename "${model%.gguf}")-$format.gguf
        "$deps/bin/requantize" "$model" "$file" "$format" >/dev/null
        "$accuracy" "native:$file" "plain:$file" bench/workloads/classify500.jsonl "${LINES_SHORT:-48}"
        if [[ $format == Q8_0 ]]; then
            "$accuracy" "native:$file" "plain:$file" bench/workloads/summarise100.jsonl "${LINES_LONG:-16}"
        fi
        rm "$file"
    done
done
