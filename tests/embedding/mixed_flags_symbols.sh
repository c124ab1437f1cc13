#!/usr/bin/env bash
# mixed_flags_symbols.sh NM OBJDUMP OBJECT...
# Fails where objects compiled with different instruction-set flags define one weak symbol with
# different code: the linker keeps any one copy, so a baseline caller could run the wide one.
# Whatever the flags change must carry the architecture, `arch_...`, in its name. Accessors and
# destructors of plain data need not, as long as every object has the same instructions.
set -euo pipefail
nm=$1 objdump=$2
shift 2

# One line per weak function: its name, then its instructions.
weak_functions() {
    awk 'NR == FNR { weak[$1]; next }
         /^[0-9a-f]+ <.*>:$/ { name = substr($2, 2, length($2) - 3); next }
         NF == 0 { name = "" }
         { gsub(/ *<[^>]*>/, "") }
         name in weak { code[name] = code[name] ";" $0 }
         END { for (name in code) print name code[name] }' \
        <("$nm" --defined-only --format=posix "$1" | awk '$2 == "W"') \
        <("$objdump" -d --no-show-raw-insn "$1")
}

functions=$(for object in "$@"; do weak_functions "$object"; done | tr '\t' ' ')
echo "$(wc -l <<<"$functions") weak functions in $# objects"
[[ $functions == *arch_* ]] || { echo "none of them is the library's: this proves nothing"; exit 1; }
differing=$(sort -u <<<"$functions" | cut -d';' -f1 | uniq -d)
[[ -z $differing ]] || { echo "one name, different instructions:"; c++filt <<<"$differing"; exit 1; }
