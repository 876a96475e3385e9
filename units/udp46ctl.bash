# SPDX-License-Identifier: MIT
# bash completion for udp46ctl(1)

_udp46ctl()
{
    local word=$2 previous=$3 choice
    local commands="status sessions dump top metrics check"
    local options="--socket= --url= --client= --listener= --limit= --sort= --interval= --json= --color= --no-pager
        --no-legend --version --help"

    # "=" is a word of its own where COMP_WORDBREAKS has it
    if [ "$word" = = ]; then
        word=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $previous in
    --json) choice="short pretty" ;;
    --color) choice="auto always never" ;;
    --sort) choice="bytes age idle client" ;;
    --socket)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --client | --listener | --url | --limit | --interval)
        COMPREPLY=()
        return
        ;;
    *)
        choice="$commands $options"
        compopt -o nospace
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$choice" -- "$word")
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} == *= ]] || compopt +o nospace
}

complete -F _udp46ctl udp46ctl
