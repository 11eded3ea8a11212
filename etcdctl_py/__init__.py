"""etcdctl-py: etcd's command line over its HTTP/JSON API.

The commands, flags, variables, exit codes and output are etcdctl's; the explanations are ours.
It stands alone: of this project it uses nothing but the generated messages, for `-w protobuf`.

Where things live:
    cli          the table of commands, and one run from arguments to exit code
    command      click, taught the manners of etcdctl's own flag library
    options      the global flags and the ETCDCTL_* variables
    commands/    one file for each command or group
    printers/    one file for each output format
    messages     what the server answers, typed
    client       HTTP requests, tried on one endpoint after the other
    explain      the cause of a failed connection, and what to do about it
    golang/      texts exactly as Go writes them: JSON, quoted strings, numbers, durations
"""
