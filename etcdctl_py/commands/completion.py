"""`completion`: scripts that let a shell complete etcdctl-py's command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import PROGRAM, Command, Group

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation

_BASH = """\
# bash completion for etcdctl-py
_etcdctl_py() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(etcdctl-py __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _etcdctl_py etcdctl-py
"""
_ZSH = """\
#compdef etcdctl-py
_etcdctl_py() {
    local line
    local -a found
    for line in "${(@f)$(etcdctl-py __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    if (( ${#found} )); then _describe 'etcdctl-py' found; else _files; fi
}
compdef _etcdctl_py etcdctl-py
"""
_FISH = """\
# fish completion for etcdctl-py
function __etcdctl_py_complete
    set -l words (commandline -opc) (commandline -ct)
    etcdctl-py __complete $words[2..-1] 2>/dev/null
end
complete -c etcdctl-py -a '(__etcdctl_py_complete)'
"""
_POWERSHELL = """\
# PowerShell completion for etcdctl-py
Register-ArgumentCompleter -Native -CommandName 'etcdctl-py' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($wordToComplete -eq '') { $words += '""' }
    etcdctl-py __complete @words 2>$null | ForEach-Object {
        $name, $text = $_ -split "`t", 2
        [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', "$text ")
    }
}
"""


def _script_command(shell: str, script: str, install: str) -> Command:
    def run(call: Invocation) -> None:
        call.console.write(script.encode())

    return Command(
        shell,
        run,
        usage=shell,
        summary=f"print the completion script for {shell}",
        description=f"To use it in the current shell:\n  {install}",
    )


COMPLETION = Group(
    "completion",
    summary="scripts that complete command lines in a shell",
    places={
        "bash": "completion:BASH",
        "fish": "completion:FISH",
        "powershell": "completion:POWERSHELL",
        "zsh": "completion:ZSH",
    },
)
BASH = _script_command("bash", _BASH, f"source <({PROGRAM} completion bash)")
ZSH = _script_command("zsh", _ZSH, f"source <({PROGRAM} completion zsh)")
FISH = _script_command("fish", _FISH, f"{PROGRAM} completion fish | source")
POWERSHELL = _script_command(
    "powershell", _POWERSHELL, f"{PROGRAM} completion powershell | Out-String | Invoke-Expression"
)
