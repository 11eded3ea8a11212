"""`completion`: scripts with which a shell asks `etcdutl-py __complete` what may follow."""

from __future__ import annotations

import sys

from miniraft.etcdutl.command import PROGRAM, Command, Invocation

_SCRIPTS = {
    "bash": """\
_etcdutl_py() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(etcdutl-py __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _etcdutl_py etcdutl-py
""",
    "zsh": """\
#compdef etcdutl-py
_etcdutl_py() {
    local -a found
    found=("${(@f)$(etcdutl-py __complete "${(@)words[2,CURRENT]}" 2>/dev/null | cut -f1)}")
    if [[ -n $found[1] ]]; then compadd -a found; else _files; fi
}
compdef _etcdutl_py etcdutl-py
""",
    "fish": """\
function __etcdutl_py_complete
    set -l words (commandline -opc) (commandline -ct)
    etcdutl-py __complete $words[2..-1] 2>/dev/null
end
complete -c etcdutl-py -a '(__etcdutl_py_complete)'
""",
    "powershell": """\
Register-ArgumentCompleter -Native -CommandName 'etcdutl-py' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($wordToComplete -eq '') { $words += '""' }
    etcdutl-py __complete @words 2>$null | ForEach-Object { ($_ -split "`t", 2)[0] }
}
""",
}


def _script_command(shell: str) -> Command:
    def run(_call: Invocation) -> None:
        sys.stdout.write(_SCRIPTS[shell])

    return Command(f"completion {shell}", "", f"print the script that completes {PROGRAM} in {shell}", run)


BASH = _script_command("bash")
FISH = _script_command("fish")
POWERSHELL = _script_command("powershell")
ZSH = _script_command("zsh")
