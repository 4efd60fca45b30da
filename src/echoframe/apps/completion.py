"""`echoframe completion`: a script for a shell, made from the parser itself, so that it knows every option."""

import argparse
from collections.abc import Iterator
from shlex import quote

from echoframe.apps.parser import Parser

OK = 0


def add_completion(parser: Parser) -> None:
    """The arguments of `echoframe completion`."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="the shell that is to complete")
    parser.add_argument("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=completion)


def completion(args: argparse.Namespace) -> int:
    from echoframe.apps.cli import build_parser

    print(SCRIPTS[args.shell](build_parser()), end="")
    return OK


def walk(parser: Parser) -> Iterator[Parser]:
    """The parser and all subcommands below it, with their arguments."""
    yield parser.filled()
    for command in parser.commands.values():
        yield from walk(command)


def _options(parser: Parser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings]


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction)


def _choices(parser: Parser) -> dict[str, list[str]]:
    """Flag -> the values it may have, where they are known."""
    found = [action for action in _options(parser) if action.choices]
    return {flag: [str(each) for each in action.choices or ()] for action in found for flag in action.option_strings}


def _words(parser: Parser) -> list[str]:
    """What may stand at a place that is not for a file: subcommands, or a positional argument's choices."""
    known = [str(each) for action in parser._actions if not action.option_strings for each in action.choices or ()]
    return list(parser.commands) or known


def _about(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").partition(" (default:")[0]


def bash(parser: Parser) -> str:
    """The script for bash."""
    places, cases, values = [], [], []
    for each in walk(parser):
        places += [quote(command.prog) for command in each.commands.values()]
        flags = [flag for action in _options(each) for flag in action.option_strings]
        cases.append(
            f"        {quote(each.prog)}) words={quote(' '.join(_words(each)))} flags={quote(' '.join(flags))} ;;"
        )
        for flag, known in _choices(each).items():
            values.append(f"        {quote(f'{each.prog} {flag}')}) words={quote(' '.join(known))} flags= ;;")
    return f"""# completion of echoframe for bash, printed by `echoframe completion bash`
_echoframe() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} place=echoframe words= flags= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$place ${{COMP_WORDS[i]}}" in
        {" | ".join(places)}) place="$place ${{COMP_WORDS[i]}}" ;;
        esac
    done
    case $place in
{chr(10).join(cases)}
    esac
    case "$place $before" in
{chr(10).join(values)}
    esac
    [[ $current == -* ]] && words=$flags
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _echoframe echoframe
"""


def _described(name: str, about: str) -> str:
    return quote(f"{name.replace(':', chr(92) + ':')}:{about}")


def zsh(parser: Parser) -> str:
    """The script for zsh."""
    places, cases, values = [], [], []
    for each in walk(parser):
        places += [quote(command.prog) for command in each.commands.values()]
        known = {name: each.commands[name].about if each.commands else "" for name in _words(each)}
        words = " ".join(_described(name, about) for name, about in known.items())
        flags = " ".join(_described(flag, _about(act)) for act in _options(each) for flag in act.option_strings)
        cases.append(f"    ({quote(each.prog)}) words_=({words}) flags=({flags}) ;;")
        for flag, some in _choices(each).items():
            values.append(f"    ({quote(f'{each.prog} {flag}')}) words_=({' '.join(map(quote, some))}) ;;")
    return f"""#compdef echoframe
# completion of echoframe for zsh, printed by `echoframe completion zsh`
_echoframe() {{
    local place=echoframe word
    local -a words_ flags
    for word in ${{words[2,CURRENT-1]}}; do
        case "$place $word" in
        ({" | ".join(places)}) place="$place $word" ;;
        esac
    done
    case $place in
{chr(10).join(cases)}
    esac
    case "$place ${{words[CURRENT-1]}}" in
{chr(10).join(values)}
    esac
    if [[ $PREFIX == -* ]]; then _describe -o option flags
    elif (( $#words_ )); then _describe word words_
    else _files; fi
}}
if [[ $funcstack[1] == _echoframe ]]; then _echoframe "$@"; else compdef _echoframe echoframe; fi
"""


def fish(parser: Parser) -> str:
    """The script for fish."""
    places, lines = [], []
    for each in walk(parser):
        places += [quote(command.prog) for command in each.commands.values()]
        at = f"complete -c echoframe -n {quote(f'__echoframe_at {each.prog}')}"
        for name in _words(each):
            about = each.commands[name].about if each.commands else ""
            lines.append(f"{at} -f -a {quote(name)} -d {_fish_quote(about)}")
        for action in _options(each):
            flags = " ".join(f"-{'l' if flag[1] == '-' else 's'} {flag.lstrip('-')}" for flag in action.option_strings)
            value = f" -x -a {quote(' '.join(map(str, action.choices)))}" if action.choices else " -r"
            lines.append(f"{at} {flags}{value if _takes_value(action) else ''} -d {_fish_quote(_about(action))}")
    return f"""# completion of echoframe for fish, printed by `echoframe completion fish`
function __echoframe_at
    set -l place echoframe
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if contains -- "$place $word" {" ".join(places)}
            set place "$place $word"
        end
    end
    test "$place" = "$argv"
end
{chr(10).join(lines)}
"""


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
