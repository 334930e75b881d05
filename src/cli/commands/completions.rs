//! `midge completions`: what a shell needs to finish words.
//!
//! Made of the declarations that the command line is read by. Each script has
//! one list: what may stand behind the words before, for each command and
//! action.

use crate::COMMANDS;
use crate::arguments::Arguments;
use crate::command::{Action, Command};
use crate::failure::Failure;
use crate::output;

pub(crate) const COMMAND: Command = Command {
    name: "completions",
    about: "a script that lets a shell finish what is typed",
    actions: &[Action {
        name: "",
        places: "SHELL",
        about: "A script that lets a shell finish what is typed: bash, zsh or fish. It does
not ask a server.",
        options: &[],
        example: "source <(midge completions bash)
midge completions zsh > ~/.zfunc/_midge
midge completions fish > ~/.config/fish/completions/midge.fish",
        run,
    }],
};

/// Around the list of a shell that takes that of Bourne's.
const BASH: [&str; 2] = [
    "_midge_words() {\n  case \"$1\" in\n",
    "  esac
}
_midge() {
  local at='' word
  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do
    word=\"${at:+$at }$word\"
    [ -z \"$(_midge_words \"$word\")\" ] || at=$word
  done
  COMPREPLY=($(compgen -W \"$(_midge_words \"$at\")\" -- \"${COMP_WORDS[COMP_CWORD]}\"))
}
complete -o default -F _midge midge
",
];

const ZSH: [&str; 2] = [
    "#compdef midge\n_midge_words() {\n  case \"$1\" in\n",
    "  esac
}
_midge() {
  local at='' word
  for word in \"${(@)words[2,CURRENT-1]}\"; do
    word=\"${at:+$at }$word\"
    [ -z \"$(_midge_words \"$word\")\" ] || at=$word
  done
  compadd -- ${=$(_midge_words \"$at\")} || _files
}
if [ \"$funcstack[1]\" = _midge ]; then
  _midge \"$@\"
else
  compdef _midge midge
fi
",
];

const FISH: [&str; 2] = [
    "function __midge_words\n  switch \"$argv\"\n",
    "  end
end
function __midge_next
  set -l at
  for word in (commandline -opc)[2..]
    if test -n \"$(__midge_words $at $word)\"
      set -a at $word
    end
  end
  __midge_words $at | string split ' '
end
complete -c midge -a '(__midge_next)'
",
];

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shell = arguments.text("shell").unwrap_or_default();
    let (around, entry) = match shell {
        "bash" => (BASH, ["    '", "') echo '", "' ;;\n"]),
        "zsh" => (ZSH, ["    '", "') echo '", "' ;;\n"]),
        "fish" => (FISH, ["    case '", "'\n      echo '", "'\n"]),
        _ => {
            return Err(Failure::usage(format!(
                "no completions for \"{shell}\"; there are bash, zsh, fish"
            )));
        }
    };
    let mut out = String::new();
    out.push_str(around[0]);
    for (at, words) in lists() {
        for part in [entry[0], &at, entry[1], &words, entry[2]] {
            out.push_str(part);
        }
    }
    out.push_str(around[1]);
    output::print(&out)
}

/// What may come next, for all words that lead somewhere.
fn lists() -> Vec<(String, String)> {
    let mut top = String::new();
    let mut lists = Vec::new();
    for command in COMMANDS {
        push_word(&mut top, "", command.name);
        let mut actions = String::new();
        for action in command.actions {
            let mut options = String::new();
            for parameter in action.named() {
                push_word(&mut options, "--", parameter.name);
            }
            let mut at = command.name.to_owned();
            if !action.name.is_empty() {
                at.push(' ');
                at.push_str(action.name);
                push_word(&mut actions, "", action.name);
            }
            lists.push((at, options));
        }
        if !actions.is_empty() {
            lists.push((command.name.to_owned(), actions));
        }
    }
    top.push_str(" help --help --version");
    lists.push((String::new(), top));
    lists
}

fn push_word(words: &mut String, before: &str, word: &str) {
    if !words.is_empty() {
        words.push(' ');
    }
    words.push_str(before);
    words.push_str(word);
}
