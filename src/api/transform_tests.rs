//! Every answer here was given by nats-server 2.15.1.

use super::*;
use proptest::prelude::*;

fn transform(src: &str, dest: &str) -> Result<Transform, String> {
    Transform::new(&SubjectTransform {
        src: src.to_owned(),
        dest: dest.to_owned(),
    })
    .map_err(|error| error.to_string())
}

fn applied(src: &str, dest: &str, subject: &str) -> Option<String> {
    let transform = transform(src, dest).expect(dest);
    let new = transform.apply(subject.as_bytes(), &mut |bound| bound - 1)?;
    Some(String::from_utf8(new).expect("text"))
}

#[test]
fn functions_do_what_nats_server_does() {
    for (src, dest, subject, wanted) in [
        ("t.*", "o.{{partition(10,1)}}", "t.abc", "o.1"),
        ("t1.*.*", "o.{{Partition( 10 , 1,2)}}", "t1.abc.d", "o.3"),
        ("t2.*", "o.{{partition(10)}}", "t2.abc", "o.1"),
        ("t3.>", "o.{{partition(10)}}.>", "t3.abc", "o.2.abc"),
        ("t18.a", "o.{{partition(10)}}", "t18.a", "o.9"),
        ("t.*", "o.{{partition(0,1)}}", "t.abc", "o.0"),
        ("t.*", "o.{{partition(-3,1)}}", "t.a", "o.3826002220"),
        ("t.*", "o.{{split(1,-)}}", "t.-a--b-", "o.a.b"),
        ("t.*", "o.{{split(1,--)}}", "t.a--b-c", "o.a.b-c"),
        ("t.*", "o.{{split(1,)}}", "t.ab", "o.a.b"),
        ("t.*", "o.{{split(1,)}}", "t.éb€", "o.é.b.€"),
        ("t.*", "o.{{split(1,a)}}", "t.aaa", "o."),
        ("t.*", "o.{{split(1,-.)}}", "t.a", "o.{{split(1,-.)}}"),
        ("t.*", "o.{{splitfromleft(1,2)}}", "t.abcde", "o.ab.cde"),
        ("t.*", "o.{{SplitFromRight(1,2)}}", "t.abcde", "o.abc.de"),
        ("t.*", "o.{{slicefromleft(1,2)}}", "t.abcde", "o.ab.cd.e"),
        ("t.*", "o.{{slicefromleft(1,2)}}", "t.abcd", "o.ab.cd"),
        ("t.*", "o.{{slicefromright(1,2)}}", "t.abcde", "o.a.bc.de"),
        ("t.*", "o.{{slicefromright(1,2)}}", "t.abcd", "o.ab.cd"),
        ("t.*", "o.{{left(1,2)}}", "t.abcde", "o.ab"),
        ("t.*", "o.{{left(1,0)}}", "t.abcde", "o.abcde"),
        ("t.*", "o.{{left(1,-3)}}", "t.abcde", "o.abcde"),
        ("t.*", "o.{{left(1,2)}}}}", "t.abcde", "o.ab"),
        ("t.*", "o.{{right(1,2)}}", "t.abcde", "o.de"),
        ("t.*", "o.{{right(1,9)}}", "t.abcde", "o.abcde"),
        ("t.*", "o.{{random(10)}}", "t.a", "o.9"),
        ("t.*", "o.{{random(0)}}", "t.a", "o.0"),
        ("t.a", "o.{{random(10)}}", "t.a", "o.9"),
        ("t.*", "o.{{  wildcard  ( 1 )  }}", "t.abc", "o.abc"),
        ("t.*", "o.{{wildcard(0)}}", "t.abc", "o.t"),
        ("t.*", "o.$-1", "t.abc", "o.t"),
        ("t.*", "o.$01", "t.abc", "o.abc"),
        ("t.*", "o.$x.$1", "t.a", "o.$x.a"),
        ("t.*.*", "o.$2", "t.a.b", "o.b"),
        ("t.*", "x{{wildcard(1)}}", "t.a", "x{{wildcard(1)}}"),
        ("t.*", "o", "t.a", "o"),
        ("", "o.>", "t.a", "o.t.a"),
        (">", "o.>", "t.a.b", "o.t.a.b"),
        ("t.*.>", "o.$1.>", "t.a.b.c", "o.a.b.c"),
        ("t.*", "", "t.a", "t.a"),
        ("", "", "t.a", "t.a"),
        (">", ">", "t.a", "t.a"),
    ] {
        let found = applied(src, dest, subject);
        assert_eq!(found.as_deref(), Some(wanted), "{src} to {dest}");
    }
    assert_eq!(applied("t.a", "o.b", "t.b"), None);
    assert_eq!(applied("z.*", "o.$1", "t.b"), None);
}

#[test]
fn what_makes_no_sense_is_refused_in_nats_servers_words() {
    let mapping = |text: &str| format!("invalid mapping destination: {text}");
    for (src, dest, wanted) in [
        ("t.*", "o.*", "invalid subject".to_owned()),
        ("t.*", "o.>", "invalid subject".to_owned()),
        ("t.>", "o", "invalid subject".to_owned()),
        ("t.*", "o..$1", mapping("invalid transform")),
        ("t.*", "o p.$1", mapping("invalid transform")),
        (
            "t.*",
            "o.{{wildcard(2)}}",
            mapping("wildcard index out of range in {{wildcard(2)}}: [2]"),
        ),
        (
            "t.*",
            "o.{{partition(5,1,2)}}",
            mapping("wildcard index out of range in {{partition(5,1,2)}}: [2]"),
        ),
        ("t.a", "o.$1", mapping("wildcard index out of range in $1")),
        (
            "t.*",
            "o.{{SPLIT(1,-)}}",
            mapping("unknown function in {{SPLIT(1,-)}}"),
        ),
        (
            "t.*",
            "o.{{foo(1)}}",
            mapping("unknown function in {{foo(1)}}"),
        ),
    ] {
        assert_eq!(transform(src, dest), Err(wanted), "{src} to {dest}");
    }
    for (call, what) in [
        ("wildcard()", TOO_FEW),
        ("wildcard(1,2)", TOO_MANY),
        ("wildcard(a)", BAD_ARGUMENT),
        ("partition(a,1)", BAD_ARGUMENT),
        ("partition()", BAD_ARGUMENT),
        ("split(1)", TOO_FEW),
        ("left(1)", TOO_FEW),
        ("left(1,2,3)", TOO_MANY),
        ("random(1,2)", TOO_FEW),
        ("random(a)", BAD_ARGUMENT),
        ("wildcard(1)}}{{wildcard(1)", BAD_ARGUMENT),
    ] {
        let token = format!("{{{{{call}}}}}");
        let found = transform("t.*", &format!("o.{token}"));
        assert_eq!(found, Err(format!("{what} in {token}")), "{call}");
    }
}

proptest! {
    #[test]
    fn cuts_lose_nothing(token in "[a-z]{1,20}", len in 0..24i32) {
        for name in ["splitfromleft", "SplitFromRight", "sliceFromLeft", "slicefromright"] {
            let dest = format!("o.{{{{{name}(1,{len})}}}}");
            let new = applied("t.*", &dest, &format!("t.{token}")).expect("it is meant");
            prop_assert_eq!(new["o.".len()..].replace('.', ""), token.clone());
            prop_assert!(midge_proto::is_literal(new.as_bytes()));
        }
    }

    #[test]
    fn a_partition_is_one_of_them(token in "[a-z]{1,20}", count in 1..50i32) {
        let dest = format!("{{{{partition({count},1)}}}}");
        let new = applied("t.*", &dest, &format!("t.{token}")).expect("it is meant");
        prop_assert!(new.parse::<i32>().expect("a number") < count);
    }

    #[test]
    fn nothing_that_is_asked_for_makes_it_fail(src in "[a-z.*>{}$()1-3,]{0,16}", dest in "[a-z.*>{}$()1-3, ]{0,30}") {
        if let Ok(transform) = transform(&src, &dest) {
            for subject in ["a", "a.b.c", "b.a"] {
                let _ = transform.apply(subject.as_bytes(), &mut |_| 0);
            }
        }
    }
}
