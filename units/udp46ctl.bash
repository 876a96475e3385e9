# SPDX-License-Identifier: MIT
# bash completion for udp46ctl(1)

_udp46ctl()
{
    local word=$2 previous=$3 choice each command=
    local commands="status sessions dump top metrics check drain undrain"
    local options="--socket= --color= --no-pager --version --help -h"

    # "=" is a word of its own where COMP_WORDBREAKS has it
    if [ "$word" = = ]; then
        word=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    # only what the command takes; everything before there is one
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " $commands " != *" $each "* ]] || command=$each
    done
    [[ $command == @(drain|undrain) ]] || options+=" --url="
    [[ $command == @(status|metrics|check|drain|undrain) ]] || options+=" --client= --listener= --sort="
    [[ $command == @(status|top|metrics|check|drain|undrain) ]] || options+=" --limit="
    [[ $command == @(status|sessions|dump|metrics|check|drain|undrain) ]] || options+=" --interval="
    [[ -n $command && $command != undrain ]] || options+=" --all"
    [[ -n $command && $command != drain ]] || options+=" --force"
    [[ $command == @(dump|top|metrics) ]] || options+=" --json="
    [[ $command == @(status|metrics) ]] || options+=" --no-legend"
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
        [ "$command" ] || options="$commands $options"
        choice=$options
        compopt -o nospace
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$choice" -- "$word")
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} == *= ]] || compopt +o nospace
}

complete -F _udp46ctl udp46ctl
