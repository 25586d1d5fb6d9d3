use proptest::prelude::*;

use super::*;

const NOON: Timestamp = Timestamp::from_millis(1_735_732_800_000);

fn figures([queued, delivered, failed, bounced, open, complained]: [u64; 6]) -> Figures {
    Figures { queued, delivered, failed, bounced, open, complained }
}

fn row(name: &str, numbers: [u64; 6]) -> Row {
    Row { name: name.into(), figures: figures(numbers) }
}

fn report(mailing: &str) -> Report {
    Report {
        range: Timestamp::from_millis(1_735_689_600_000)..NOON,
        made_at: NOON,
        summary: figures([1_234_567, 1_200_000, 20_000, 10_000, 4_000, 3]),
        by_reason: vec![row("user_unknown", [25, 0, 20, 5, 0, 0])],
        by_domain: vec![row("example.net", [60, 30, 20, 5, 5, 1])],
        by_mailing: vec![row(mailing, [40, 25, 10, 5, 0, 1]), row("", [20, 5, 10, 0, 5, 0])],
    }
}

/// Every tag must be closed in its turn; answers how many there are. Knows what our page uses: attributes in double
/// quotes, void elements, self-closing shapes.
fn balanced(html: &str) -> usize {
    let (mut open, mut tags, mut rest) = (Vec::new(), 0, html);
    while let Some((text, tail)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "a stray > in {text:?}");
        let (tag, after) = tail.split_once('>').expect("a tag ends");
        rest = after;
        tags += 1;
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in its turn");
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert_eq!(open, [""; 0]);
    tags
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    let page = report("autumn").to_html();
    assert!(balanced(&page) > 50);
    assert!(page.starts_with("<!DOCTYPE html>\n"));
    for needless in ["<script", "javascript:", "http:", "https:", "url(", "@import", "<img", "<link", "onload="] {
        assert!(!page.contains(needless), "{needless}");
    }
}

#[test]
fn figures_come_out_exactly() {
    let page = report("autumn").to_html();
    for shown in [
        "<dt>Queued</dt><dd>1,234,567</dd>",
        "<dt>Delivered</dt><dd>1,200,000<small>97.6 % of those decided</small></dd>",
        "<dt>Refused or given up</dt><dd>20,000<small>1.6 % of those decided</small></dd>",
        "<dt>Returned</dt><dd>10,000<small>0.8 % of those decided</small></dd>",
        "<dt>Not ended yet</dt><dd>4,000</dd>",
        "<dt>Not sent</dt><dd>567</dd>",
        "<dt>Complaints</dt><dd>3<small>under 0.1 % of those accepted</small></dd>",
        "<bdi>user unknown</bdi>",
        "<td data-name=\"Refused\">20</td><td data-name=\"Returned\">5</td><td data-name=\"Together\">25</td>",
        "<td data-name=\"Queued\">60</td><td data-name=\"Delivered\">30</td>",
        "<td data-name=\"Complaints\" class=\"zero\">0</td>",
        "<i>without a name</i>",
        "<time datetime=\"2025-01-01T12:00:00.000Z\">2025-01-01 12:00 UTC</time>",
        "aria-label=\"Delivered: 30, Refused or given up: 20, Returned: 5, Not ended yet: 5\"",
        "<rect class=\"failed\" x=\"500\" y=\"0\" width=\"333\" height=\"8\"/>",
    ] {
        assert!(page.contains(shown), "{shown}\n{page}");
    }
}

#[test]
fn hostile_names_stay_text() {
    for (name, shown) in [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\"><img src=x onerror='x'>", "&quot;&gt;&lt;img src=x onerror=&#39;x&#39;&gt;"),
        ("&amp;</bdi></style>", "&amp;amp;&lt;/bdi&gt;&lt;/style&gt;"),
        ("a\0b\x1b[31m", "a\u{fffd}b\u{fffd}[31m"),
        ("\u{202e}gnp.exe", "<bdi>\u{202e}gnp.exe</bdi>"),
    ] {
        let page = report(name).to_html();
        assert!(page.contains(shown), "{shown}");
        assert_eq!(balanced(&page), balanced(&report("autumn").to_html()));
    }
}

#[test]
fn an_empty_report_says_so() {
    let empty = Report {
        range: Timestamp::EPOCH..Timestamp::MAX,
        made_at: NOON,
        summary: Figures::default(),
        by_reason: Vec::new(),
        by_domain: Vec::new(),
        by_mailing: Vec::new(),
    };
    let page = empty.to_html();
    balanced(&page);
    assert!(page.contains("No message was queued in this time."));
    assert!(page.contains("Messages queued until <time datetime=\"2025-01-01T12"), "the end of time is not shown");
}

#[test]
fn what_is_too_much_for_a_page_is_summed_up() {
    let rows: Vec<Row> = (0..250).map(|n| row(&format!("d{n}.example"), [2, 1, 1, 0, 0, 0])).collect();
    let page = Report { by_domain: rows, ..report("autumn") }.to_html();
    balanced(&page);
    assert!(page.contains("d99.example") && !page.contains("d100.example"));
    assert!(page.contains("<i>150 more domains</i></th><td data-name=\"Queued\">300</td>"));
}

#[test]
fn bars_never_leave_their_box() {
    for numbers in [[u64::MAX; 6], [1, u64::MAX, 1, 1, 1, 1], [1_000_000, 1, 1, 1, 999_997, 0], [0; 6]] {
        let mut page = Page(String::new());
        page.bar("whole", &parts(&figures(numbers)), numbers[0]);
        let edge = |rect: &str, name: &str| -> u64 {
            rect.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
        };
        let mut right = 0;
        for rect in page.0.split("<rect").skip(1) {
            assert_eq!(edge(rect, "x"), right);
            assert!(edge(rect, "width") > 0);
            right += edge(rect, "width");
        }
        assert!(right <= BAR);
    }
}

#[test]
fn csv_quotes_what_it_must_and_leaves_no_formula() {
    let csv = Report { by_domain: Vec::new(), ..report("=cmd(), \"x\"\r\n") }.to_csv();
    assert_eq!(
        csv,
        "by,name,queued,delivered,failed,bounced,open,complained\r\n\
         total,,1234567,1200000,20000,10000,4000,3\r\n\
         reason,user_unknown,25,0,20,5,0,0\r\n\
         mailing,\"'=cmd(), \"\"x\"\"\r\n\",40,25,10,5,0,1\r\n\
         mailing,,20,5,10,0,5,0\r\n"
    );
}

proptest! {
    #[test]
    fn no_name_changes_the_page_around_it(name in "\\PC{0,40}|[<>&\"'/= a-z]{1,40}") {
        let name = if name.is_empty() { "x" } else { &name };
        prop_assert_eq!(balanced(&report(name).to_html()), balanced(&report("autumn").to_html()));
    }
}
