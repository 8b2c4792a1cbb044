#!/bin/sh
# Arrows point one way: mod_bsession.c -> hooks/ -> core/ -> include/; backends/ and bridges/ -> include/
# only.
# Of httpd know mod_bsession.c, hooks/ and each backend's glue, backends/*_module.c.
set -u
cd "${srcdir:-.}" || exit 1

# headers DIR...: the names of their headers, one a line
headers() {
    for header in $(printf '%s/*.h ' "$@"); do
        [ -f "$header" ] && basename "$header"
    done
}

# allow NAMES FILE...: what the files include between quotes is in the list
allow() {
    names=$1
    shift
    for file; do
        [ -f "$file" ] || continue
        sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" |
            while read -r name; do
                printf '%s\n' "$names" | grep -Fqx "$name" || echo "$file must not include $name"
            done
    done
}

# bare FILE...: no header of httpd between angle brackets
bare() {
    grep -E '^[[:space:]]*#[[:space:]]*include[[:space:]]*<(httpd|ap_|http_|util_|mod_|mpm_)' \
        /dev/null "$@"
}

httpd='httpd.h
http_config.h
http_log.h
http_main.h
ap_mpm.h
ap_provider.h
mod_dbd.h'

complaints=$(
    allow "$(headers include)" include/*.h
    allow "$(headers include core)" core/*.[ch]
    bare include/*.h core/*.[ch]
    for file in backends/*.[ch]; do
        case $file in
        *_module.c) allow "$(headers include backends)
$httpd" "$file" ;;
        *) allow "$(headers include backends)" "$file"; bare "$file" ;;
        esac
    done
    # a store is found through its provider, never by its header
    for name in $(headers backends); do
        grep -EH "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$name" hooks/*.[ch] core/*.[ch]
    done
    for name in $(headers core hooks backends); do
        grep -EH "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$name" /dev/null bridges/*.c
    done
)
[ -z "$complaints" ] && exit 0
echo "$complaints"
exit 1
