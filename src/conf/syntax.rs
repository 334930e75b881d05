//! The syntax of configuration files: NATS's own, of which JSON is a part.
//!
//! `key: value`, `key = value` and `key value`, blocks in braces, lists in
//! brackets, `#` and `//` for comments; commas, semicolons and line ends
//! separate, where anything has to. `$NAME` stands for a key that was set
//! before, in the same block or around it, or else for a variable of the
//! environment. `include` brings in another file, in place.
//!
//! What reads files and the environment is handed in, so that all of this is a
//! function of its arguments.

use super::tree::{ConfError, Entry, Place, Value, is_secret};
use midge_engine::Password;
use std::sync::Arc;

/// Blocks and lists that may lie inside one another: more than any
/// configuration has, fewer than the stack holds.
const DEPTH_MAX: usize = 64;

/// Files that may include one another.
const INCLUDES_MAX: usize = 16;

/// Files that are included altogether: two lines in each of sixteen files make
/// 65536 otherwise.
const FILES_MAX: usize = 1024;

/// What all values may take in memory, those that stand elsewhere as well: a
/// few lines of names double it with each line. Ten thousand users with
/// permissions of their own take a quarter.
const BYTES_MAX: usize = 64 << 20;

/// What a value takes beside its text.
const VALUE_BYTES: usize = size_of::<Entry>();

/// What a configuration may refer to.
pub(crate) trait World {
    /// The text of a file that `from` includes, and what to call it.
    fn read(&self, path: &str, from: &str) -> Result<(String, Arc<str>), String>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Takes a file apart.
pub(crate) fn parse(
    text: &str,
    file: Arc<str>,
    world: &dyn World,
) -> Result<Vec<Entry>, ConfError> {
    parse_file(text, file, world, &mut Taken::default())
}

/// What the files of a configuration have come to, all together.
#[derive(Default)]
struct Taken {
    /// Blocks and lists around what is read now, in whatever file.
    depth: usize,
    /// Files around the one that is read now.
    includes: usize,
    files: usize,
    bytes: usize,
}

fn parse_file(
    text: &str,
    file: Arc<str>,
    world: &dyn World,
    taken: &mut Taken,
) -> Result<Vec<Entry>, ConfError> {
    let mut parser = Parser {
        text,
        at: 0,
        place: Place { file, line: 1 },
        world,
        taken,
        scopes: vec![Vec::new()],
    };
    parser.skip();
    // JSON has braces around it all.
    let is_json = parser.take('{');
    parser.entries(is_json.then_some('}'))?;
    parser.skip();
    if let Some(odd) = parser.peek() {
        return Err(parser.error(format!("nothing can follow here, but there is '{odd}'")));
    }
    Ok(parser.scopes.pop().unwrap_or_default())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    world: &'a dyn World,
    taken: &'a mut Taken,
    /// The entries so far of this block and those around it; the innermost is
    /// the last.
    scopes: Vec<Vec<Entry>>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        if char == '\n' {
            self.place.line += 1;
        }
        Some(char)
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn error(&self, what: impl Into<String>) -> ConfError {
        ConfError::new(&self.place, what)
    }

    /// Passes over blanks, line ends, separators and comments.
    fn skip(&mut self) {
        self.skip_all(|char| char.is_whitespace() || matches!(char, ',' | ';'));
    }

    /// Passes over what may stand between a key and its value.
    fn skip_to_value(&mut self) {
        self.skip_all(char::is_whitespace);
        if matches!(self.peek(), Some(':' | '=')) {
            self.advance();
            self.skip_all(char::is_whitespace);
        }
    }

    fn skip_all(&mut self, is_passed: impl Fn(char) -> bool) {
        while let Some(char) = self.peek() {
            if char == '#' || self.rest().starts_with("//") {
                while self.peek().is_some_and(|char| char != '\n') {
                    self.advance();
                }
            } else if is_passed(char) {
                self.advance();
            } else {
                return;
            }
        }
    }

    /// Reads entries into the innermost scope, up to the end of the file or of
    /// the block.
    fn entries(&mut self, end: Option<char>) -> Result<(), ConfError> {
        loop {
            self.skip();
            match self.peek() {
                None if end.is_none() => return Ok(()),
                None => return Err(self.error("the block has no end; '}' is missing")),
                Some(char) if Some(char) == end => {
                    self.advance();
                    return Ok(());
                }
                Some('}' | ']' | ')' | ':' | '=' | '{' | '[') => {
                    let odd = self.peek().unwrap_or_default();
                    return Err(self.error(format!("a key is expected, not '{odd}'")));
                }
                Some(_) => self.entry()?,
            }
        }
    }

    fn entry(&mut self) -> Result<(), ConfError> {
        let place = self.place.clone();
        let key = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self
                .word(|char| matches!(char, ':' | '=' | '{' | '['))
                .to_owned(),
        };
        if key == "include" {
            self.skip_to_value();
            return self.include();
        }
        self.skip_to_value();
        if matches!(self.peek(), None | Some('}' | ']')) {
            return Err(ConfError::new(&place, format!("\"{key}\" has no value")));
        }
        let value = self.value(&key)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(Entry {
                key,
                value,
                place,
                is_variable: false,
            });
        }
        Ok(())
    }

    fn include(&mut self) -> Result<(), ConfError> {
        let place = self.place.clone();
        let path = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self.word(|_| false).to_owned(),
        };
        let fail = |why: String| ConfError::new(&place, format!("cannot include {path}: {why}"));
        if self.taken.includes >= INCLUDES_MAX {
            return Err(fail("too many files include one another".to_owned()));
        }
        if self.taken.files >= FILES_MAX {
            return Err(fail("too many files are included".to_owned()));
        }
        let (text, file) = self.world.read(&path, &place.file).map_err(fail)?;
        self.taken.files += 1;
        self.taken.includes += 1;
        let entries = parse_file(&text, file, self.world, self.taken)?;
        self.taken.includes -= 1;
        if let Some(scope) = self.scopes.last_mut() {
            scope.extend(entries);
        }
        Ok(())
    }

    /// A run without blanks, up to what ends a value or `is_end`.
    fn word(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let ends = |char: char| {
            char.is_whitespace() || matches!(char, ',' | ';' | ']' | '}') || is_end(char)
        };
        let len = rest.find(ends).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// The value of a key.
    fn value(&mut self, key: &str) -> Result<Value, ConfError> {
        let value = match self.peek() {
            Some('{') => self.deeper(Parser::block)?,
            Some('[') => self.deeper(|parser| parser.list(key))?,
            Some('(') => self.raw_block()?,
            Some(quote @ ('"' | '\'')) => Value::Text(self.quoted(quote)?),
            _ => {
                let word = self.word(|_| false);
                match word.strip_prefix('$') {
                    // A password's hash begins with the same sign.
                    Some(name) if !Password::is_hash(word) => return self.variable(name, key),
                    _ => Value::Text(word.to_owned()),
                }
            }
        };
        let text = match &value {
            Value::Text(text) => text.len(),
            _ => 0,
        };
        self.take_bytes(VALUE_BYTES + text)?;
        Ok(value)
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), ConfError> {
        self.taken.bytes += bytes;
        match self.taken.bytes > BYTES_MAX {
            true => Err(self.error("all values together take too much memory")),
            false => Ok(()),
        }
    }

    fn deeper(
        &mut self,
        read: impl Fn(&mut Self) -> Result<Value, ConfError>,
    ) -> Result<Value, ConfError> {
        self.check_depth(1)?;
        self.taken.depth += 1;
        let value = read(self);
        self.taken.depth -= 1;
        value
    }

    fn check_depth(&self, more: usize) -> Result<(), ConfError> {
        match self.taken.depth + more > DEPTH_MAX {
            true => Err(self.error("too many blocks lie inside one another")),
            false => Ok(()),
        }
    }

    fn block(&mut self) -> Result<Value, ConfError> {
        self.advance();
        self.scopes.push(Vec::new());
        self.entries(Some('}'))?;
        Ok(Value::Block(self.scopes.pop().unwrap_or_default()))
    }

    fn list(&mut self, key: &str) -> Result<Value, ConfError> {
        self.advance();
        let mut items = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None => return Err(self.error("the list has no end; ']' is missing")),
                Some(']') => {
                    self.advance();
                    return Ok(Value::List(items));
                }
                Some(odd @ ('}' | ')')) => {
                    return Err(self.error(format!("a list ends with ']', not with '{odd}'")));
                }
                Some(_) => {
                    let place = self.place.clone();
                    items.push((self.value(key)?, place));
                }
            }
        }
    }

    /// Text in parentheses, as it is, up to one that closes on a line of its
    /// own.
    fn raw_block(&mut self) -> Result<Value, ConfError> {
        let start = self.place.clone();
        self.advance();
        let mut lines: Vec<&str> = Vec::new();
        for line in self.rest().split_inclusive('\n') {
            self.at += line.len();
            self.place.line += u32::from(line.ends_with('\n'));
            if line.trim() == ")" {
                return Ok(Value::Text(lines.concat().trim().to_owned()));
            }
            lines.push(line);
        }
        let what = "the text has no end; a line with ')' alone is missing";
        Err(ConfError::new(&start, what))
    }

    /// What stands in quotes; between double ones a backslash means something.
    fn quoted(&mut self, quote: char) -> Result<String, ConfError> {
        let start = self.place.clone();
        self.advance();
        let mut text = String::new();
        loop {
            let char = self.advance();
            match char {
                Some(char) if char == quote => return Ok(text),
                Some('\\') if quote == '"' => text.push(self.escaped()?),
                Some(char) => text.push(char),
                None => {
                    let what = format!("the text has no end; {quote} is missing");
                    return Err(ConfError::new(&start, what));
                }
            }
        }
    }

    fn escaped(&mut self) -> Result<char, ConfError> {
        let char = self.advance();
        match char {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some(char @ ('"' | '\\' | '/' | '\'')) => Ok(char),
            Some('x') => self.code(2),
            Some('u') => self.code(4),
            _ => Err(self.error("a backslash takes one of n t r \" \\ / x41 u0041 behind it")),
        }
    }

    fn code(&mut self, digits: usize) -> Result<char, ConfError> {
        let code = self
            .rest()
            .get(..digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(code) = code else {
            return Err(self.error("hexadecimal digits are missing behind the backslash"));
        };
        self.at += digits;
        // Half of a pair is no character.
        Ok(char::from_u32(code).unwrap_or('\u{fffd}'))
    }

    /// What a name stands for: the innermost key that was set before.
    fn variable(&mut self, name: &str, key: &str) -> Result<Value, ConfError> {
        let mut scopes = std::mem::take(&mut self.scopes);
        let mut entries = scopes
            .iter_mut()
            .rev()
            .flat_map(|scope| scope.iter_mut().rev());
        let value = match entries.find(|entry| entry.key == name) {
            Some(entry) => {
                entry.is_variable = true;
                self.copied(&entry.value)
            }
            None => self.environment(name, key),
        };
        self.scopes = scopes;
        value
    }

    /// The same once more, which may be much longer than its name.
    fn copied(&mut self, value: &Value) -> Result<Value, ConfError> {
        let (bytes, depth) = measure(value);
        self.check_depth(depth)?;
        self.take_bytes(bytes)?;
        Ok(value.clone())
    }

    fn environment(&mut self, name: &str, key: &str) -> Result<Value, ConfError> {
        let Some(text) = self.world.variable(name) else {
            // A password that begins so and has no quotes around it is no name.
            let what = match is_secret(key) {
                true => format!("{key}: what begins with $ and has no quotes around it"),
                false => format!("${name}"),
            };
            return Err(self.error(format!(
                "{what} is neither a key that was set before nor in the environment"
            )));
        };
        self.take_bytes(VALUE_BYTES + text.len())?;
        Ok(Value::Text(text.trim().to_owned()))
    }
}

/// What a value takes in memory, and how many blocks and lists lie inside one
/// another in it.
fn measure(value: &Value) -> (usize, usize) {
    let all = |values: &mut dyn Iterator<Item = &Value>| {
        values.fold((VALUE_BYTES, 1), |(bytes, depth), value| {
            let (more, inner) = measure(value);
            (bytes + more, depth.max(inner + 1))
        })
    };
    match value {
        Value::Text(text) => (VALUE_BYTES + text.len(), 0),
        Value::List(items) => all(&mut items.iter().map(|(item, _)| item)),
        Value::Block(entries) => all(&mut entries.iter().map(|entry| &entry.value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::fmt::Write;

    /// Files and variables by name.
    #[derive(Default)]
    struct Fixed(HashMap<&'static str, &'static str>);

    impl World for Fixed {
        fn read(&self, path: &str, from: &str) -> Result<(String, Arc<str>), String> {
            let text = self.0.get(path).ok_or("there is none")?;
            Ok(((*text).to_owned(), format!("{from}>{path}").into()))
        }

        fn variable(&self, name: &str) -> Option<String> {
            self.0.get(name).map(|&text| text.to_owned())
        }
    }

    fn parsed(text: &str, world: &Fixed) -> Result<Vec<Entry>, ConfError> {
        parse(text, "f".into(), world)
    }

    /// What was read, in one line.
    fn show(entries: &[Entry]) -> String {
        let mut out = String::new();
        for entry in entries {
            write!(out, "{}={} ", entry.key, show_value(&entry.value)).unwrap();
        }
        out.trim_end().to_owned()
    }

    fn show_value(value: &Value) -> String {
        match value {
            Value::Text(text) => format!("{text:?}").trim_matches('"').to_owned(),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|(item, _)| show_value(item)).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Block(entries) => format!("{{{}}}", show(entries)),
        }
    }

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        match parsed(text, &Fixed::default()) {
            Ok(entries) => assert_eq!(show(&entries), wanted, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    #[test]
    fn keys_and_values_are_written_in_many_ways() {
        for text in [
            "a: 1\nb: x",
            "a = 1, b = x",
            "a 1; b x",
            "a=1;b=x",
            "{\"a\":1,\"b\":\"x\"}",
        ] {
            check(text, "a=1 b=x");
        }
        check("# one\na: 1 # two\n// three\nb: 2 // four", "a=1 b=2");
        check("a { b: 1 }\nc: {d 2}\ne = { }", "a={b=1} c={d=2} e={}");
        check("a [1, 2\n3]\nb: [x y]\nc []", "a=[1 2 3] b=[x y] c=[]");
        check("a [{b 1}, {b 2}]", "a=[{b=1} {b=2}]");
        check("", "");
        check("a: 127.0.0.1:4222", "a=127.0.0.1:4222");
        check("a: nats://x:1/y", "a=nats://x:1/y");
        check("a: 1\r\nb: 2\r\n", "a=1 b=2");
    }

    #[test]
    fn words_are_taken_as_they_are_written() {
        check("a: Yes b: 007, c: 64MB", "a=Yes b=007 c=64MB");
        check(
            r#"a: "x\n\"\\\x41\u00e4" b: 'c\n'"#,
            r#"a=x\n\"\\Aä b=c\\n"#,
        );
        check("a (\n x y\n {z}\n)\nb 1", r"a=x y\n {z} b=1");
        for hash in ["$2a$11$abc", "$2b$11$abc", "$2x$11$abc", "$2y$11$abc"] {
            check(&format!("a: {hash}"), &format!("a={hash}"));
        }
    }

    #[test]
    fn variables_are_keys_or_of_the_environment() {
        let world = Fixed(HashMap::from([("HOME", "/root"), ("PORT", "42")]));
        let show_with = |text: &str| parsed(text, &world).map(|entries| show(&entries));
        assert_eq!(
            show_with("a: 1\nb: $a\nc: $HOME\nd: $PORT").unwrap(),
            "a=1 b=1 c=/root d=42"
        );
        assert_eq!(
            show_with("a: 1\nb { a: 2, c { d: $a } }\ne: $a").unwrap(),
            "a=1 b={a=2 c={d=2}} e=1"
        );
        assert_eq!(show_with("u {x 1}\nv: [$u]").unwrap(), "u={x=1} v=[{x=1}]");
        let error = show_with("\nb: $a").unwrap_err().to_string();
        assert!(error.starts_with("f:2: $a is neither"), "{error}");
        for text in [
            "password: $ecret",
            "a { users: [ $ecret ] }",
            "Token = $ecret",
        ] {
            let error = show_with(text).unwrap_err().to_string();
            assert!(error.contains("is neither a key"), "{error}");
            assert!(!error.contains("ecret"), "{error}");
        }
    }

    #[test]
    fn files_are_included_in_place() {
        let world = Fixed(HashMap::from([
            ("b", "x: 1\ny: {"),
            ("c", "z: 3\n"),
            ("d", "include d"),
        ]));
        let entries = parsed("a { include c\nq 1 }\ninclude 'c'", &world).unwrap();
        assert_eq!(show(&entries), "a={z=3 q=1} z=3");
        assert_eq!(entries[1].place.to_string(), "f>c:1");
        for (text, wanted) in [
            ("include b", "f>b:2: the block has no end"),
            ("\ninclude x", "f:2: cannot include x: there is none"),
            ("include d", "too many files include one another"),
        ] {
            let error = parsed(text, &world).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn what_stands_for_much_is_bounded() {
        let lines = |one: &dyn Fn(usize) -> String| (1..=70).map(one).collect::<String>();
        let doubled =
            "a0: word\n".to_owned() + &lines(&|n| format!("a{n}: [$a{0},$a{0}]\n", n - 1));
        let nested = "a0: word\n".to_owned() + &lines(&|n| format!("a{n}: [$a{}]\n", n - 1));
        let long = format!("a: {}\nb: [{}]", "x".repeat(1 << 20), "$a ".repeat(64));
        let files = "include twice\n".repeat(FILES_MAX + 1);
        let world = Fixed(HashMap::from([
            ("many", "a [1]"),
            ("twice", ""),
            ("both", "include both\ninclude both"),
        ]));
        let deep = "a { ".repeat(DEPTH_MAX) + "include many";
        for (text, wanted) in [
            (&*doubled, "all values together take too much memory"),
            (&nested, "f:66: too many blocks lie inside one another"),
            (&long, "all values together take too much memory"),
            (
                &files,
                "f:1025: cannot include twice: too many files are included",
            ),
            (&deep, "f>many:1: too many blocks lie inside one another"),
            ("include both", "too many files include one another"),
        ] {
            let error = parsed(text, &world).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        // What came and went does not count.
        let flat = "a0: [[word]]\n".to_owned() + &lines(&|n| format!("a{n}: $a{}\n", n - 1));
        assert!(parsed(&flat, &world).is_ok());
        let twenty = "include many\n".repeat(20);
        assert_eq!(parsed(&twenty, &world).map(|entries| entries.len()), Ok(20));
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_line() {
        let deep = "a [".to_owned() + &"[".repeat(DEPTH_MAX);
        for (text, wanted) in [
            ("a", "f:1: \"a\" has no value"),
            ("a: }", "f:1: \"a\" has no value"),
            ("a {\nb: 1\n", "f:3: the block has no end"),
            ("a [\n1\n", "f:3: the list has no end"),
            ("a [1}", "f:1: a list ends with ']', not with '}'"),
            ("\n\na: \"x", "f:3: the text has no end"),
            ("a: \"\\q\"", "f:1: a backslash takes"),
            ("a: \"\\x4\"", "hexadecimal digits"),
            ("a (\nx", "f:1: the text has no end"),
            ("}", "f:1: a key is expected, not '}'"),
            ("a 1\n: 2", "f:2: a key is expected, not ':'"),
            ("{a 1} b", "f:1: nothing can follow here"),
            (&deep, "too many blocks lie inside one another"),
        ] {
            let error = parsed(text, &Fixed::default()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
