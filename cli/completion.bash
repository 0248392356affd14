# bash completion for qosid. Options come from each command's own --help, remotes and offices from the space.

_qosid_words() { # words
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_qosid() {
    local commands="init identity invite join admit accept members role remove rotate threshold endorse office passphrase put get rm ls changes conflicts resolve import export
        remote sync fetch-file bundle generation couch status log verify digest keys help version"
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local program=(command "${COMP_WORDS[0]}") command='' argument=0 i word
    COMPREPLY=()

    # Find the command, and which of its arguments is being typed.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -C)
            [ -z "$command" ] && [ $((i + 1)) -lt "$COMP_CWORD" ] && program+=(-C "${COMP_WORDS[i + 1]}")
            i=$((i + 1)) ;;
        --passphrase-file | --new-passphrase-file) i=$((i + 1)) ;;
        -*) ;;
        *) if [ -z "$command" ]; then command=$word; else argument=$((argument + 1)); fi ;;
        esac
    done

    case $previous in
    -C)
        compopt -o dirnames 2>/dev/null
        return ;;
    --forget)
        _qosid_words "all $("${program[@]}" status --json 2>/dev/null | grep -oE '"log":"[^"]*","sequence":[0-9]+,"cause"' | cut -d'"' -f4)"
        return ;;
    --format) _qosid_words "csv jsonl"; return ;;
    --roles | --role) _qosid_words "writer,reader reader auditor witness steward,writer,reader"; return ;;
    -o | --output | --passphrase-file | --new-passphrase-file | --with | --user-file | --ca | --ssh-key | --client-cert | --client-key | --token-file)
        compopt -o default 2>/dev/null
        return ;;
    esac

    if [ -z "$command" ]; then
        case $current in
        -*) _qosid_words "-C --json --quiet --verbose --passphrase-file --help --version" ;;
        *) _qosid_words "$commands" ;;
        esac
        return
    fi
    if [[ $current == -* ]]; then
        _qosid_words "$("${program[@]}" "$command" --help 2>/dev/null | grep -oE -e '(^|[ ,])--?[a-zA-Z][a-z-]*' | tr -d ' ,' | sort -u)"
        return
    fi

    case $command:$argument in
    help:0) _qosid_words "$commands" ;;
    sync:*) _qosid_words "$("${program[@]}" remote ls 2>/dev/null | awk '{ print $1 }')" ;;
    remote:0) _qosid_words "add rm ls test" ;;
    generation:0) _qosid_words "ls new set" ;;
    generation:1) [ "$previous" = set ] && _qosid_words "bytes days archives fetch" ;;
    couch:0) _qosid_words "pull push" ;;
    remote:1) [[ $previous = rm || $previous = test ]] && _qosid_words "$("${program[@]}" remote ls 2>/dev/null | awk '{ print $1 }')" ;;
    identity:0) _qosid_words "show export request" ;;
    keys:0) _qosid_words "accept allowed-signers epoch roll" ;;
    office:0) _qosid_words "revoke" ;;
    passphrase:0) _qosid_words "change remove set" ;;
    role:1) _qosid_words "writer,reader reader auditor witness steward,writer,reader" ;;
    endorse:0) _qosid_words "$("${program[@]}" members --pending 2>/dev/null | awk '{ print $1 }')" ;;
    log:0 | role:0 | remove:0 | office:1) _qosid_words "$("${program[@]}" members 2>/dev/null | awk '{ print $1 }')" ;;
    import:0 | join:0 | admit:0 | accept:0 | put:1 | init:1 | join:1 | remote:2) compopt -o default 2>/dev/null ;;
    esac
}

complete -F _qosid qosid
