//! A letter on paper: lines broken to the width of A4, pages with their number, and tags by which a screen reader knows headings from
//! paragraphs (ISO 32000-1, 14.8). Whatever stands in it, a letter is made: what the typeface has no sign for is shown as a box, which the end
//! of the letter tells.

use std::num::NonZeroU16;

use krilla::{
    Document,
    geom::Point,
    metadata::Metadata,
    page::PageSettings,
    tagging::{Artifact, ArtifactType, ContentTag, SpanTag, Tag, TagGroup, TagTree},
    text::{Font, TextDirection},
};

use super::Block;

/// DejaVu Sans, which has the letters of most of Europe and of Arabic and Hebrew; the build fetches it.
mod fonts {
    pub(super) static SANS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/DejaVuSans.ttf"));
    pub(super) static BOLD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/DejaVuSans-Bold.ttf"));
}

/// A4, in points of a 72nd of an inch (ISO 216).
const PAGE: (f32, f32) = (595.28, 841.89);
/// 20 mm around.
const MARGIN: f32 = 56.7;
/// The smallest that the NHS's guidance on accessible documents allows for text.
const TEXT: f32 = 12.0;
const TITLE: f32 = 20.0;
const HEADING: f32 = 15.0;
const SMALL: f32 = 10.0;
/// The distance of lines, in sizes of their letters.
const LEADING: f32 = 1.45;
/// No letter is longer; what is beyond is on the page.
const PAGES_MAX: usize = 30;
/// No page has more lines, and what would come behind the last is not laid out.
const PAGE_LINES_MAX: usize = 60;
/// So many lines of what something is called are kept on one page with it.
const TOGETHER_MAX: usize = 6;
/// What stands for a sign that the typeface does not have.
const BOX: char = '\u{25A1}';
const BOXES: &str = "A box (□) stands for a sign that this letter cannot show. It is on the page of the referral.";
const CUT: &str = "The letter ends here because it is too long. The rest is on the page of the referral.";

/// A typeface with what is measured of it.
struct Face {
    font: Font,
    measured: ttf_parser::Face<'static>,
}

/// A line that fits.
struct Line {
    text: String,
    size: f32,
    bold: bool,
    /// The block that it is of.
    block: usize,
    /// Room above it.
    above: f32,
}

/// How a block is tagged.
#[derive(Clone, Copy)]
enum Kind {
    Title,
    Heading,
    Text,
}

// === impl Face ===

impl Face {
    fn of(data: &'static [u8]) -> Result<Self, String> {
        let font = Font::new(data.into(), 0).ok_or("the typeface cannot be read")?;
        let measured = ttf_parser::Face::parse(data, 0).map_err(|error| error.to_string())?;
        Ok(Self { font, measured })
    }

    fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.advance(c)).sum::<f32>() * size / f32::from(self.measured.units_per_em().max(1))
    }

    fn advance(&self, c: char) -> f32 {
        let glyph = self.measured.glyph_index(c);
        f32::from(glyph.and_then(|glyph| self.measured.glyph_hor_advance(glyph)).unwrap_or_default())
    }

    fn has(&self, c: char) -> bool {
        self.measured.glyph_index(c).is_some()
    }
}

/// Makes the letter.
///
/// # Errors
/// In words, where it cannot be written at all.
pub(super) fn pdf(title: &str, blocks: &[Block]) -> Result<Vec<u8>, String> {
    let (sans, bold) = (Face::of(fonts::SANS)?, Face::of(fonts::BOLD)?);
    let mut boxes = false;
    let (mut lines, mut kinds) = lines(blocks, (&sans, &bold), &mut boxes);
    if boxes {
        let block = kinds.len();
        kinds.push(Kind::Text);
        push(&mut lines, &sans, BOXES, (TEXT, false), (block, TEXT));
    }
    let pages = pages(lines, kinds.len(), &sans);
    if pages.iter().any(|page| page.iter().any(|line| line.block == kinds.len())) {
        kinds.push(Kind::Text);
    }
    write(title, &pages, &kinds, (&sans, &bold))
}

/// The lines of all blocks, and how each block is tagged.
fn lines(blocks: &[Block], (sans, bold): (&Face, &Face), boxes: &mut bool) -> (Vec<Line>, Vec<Kind>) {
    let (mut lines, mut kinds) = (Vec::new(), Vec::new());
    let mut shown = |text: &str, face: &Face| {
        let text = shown(text, face);
        *boxes |= text.contains(BOX);
        text
    };
    for block in blocks {
        let at = kinds.len();
        match block {
            Block::Title(text) => {
                kinds.push(Kind::Title);
                push(&mut lines, bold, &shown(text, bold), (TITLE, true), (at, TITLE));
            }
            Block::Heading(text) => {
                kinds.push(Kind::Heading);
                push(&mut lines, bold, &shown(text, bold), (HEADING, true), (at, HEADING));
            }
            Block::Fact(key, values) => {
                kinds.push(Kind::Text);
                push(&mut lines, bold, &shown(key, bold), (TEXT, true), (at, TEXT / 2.0));
                for value in values {
                    push(&mut lines, sans, &shown(value, sans), (TEXT, false), (at, 0.0));
                }
            }
            Block::Text(text) => {
                kinds.push(Kind::Text);
                push(&mut lines, sans, &shown(text, sans), (TEXT, false), (at, TEXT / 4.0));
            }
        }
    }
    (lines, kinds)
}

/// A text without what is not to be seen, and with a box for each sign that the typeface does not have.
fn shown(text: &str, face: &Face) -> String {
    let hidden = |c: char| {
        // marks of direction could turn a whole line round; the variants and joiners of emoji have nothing to join
        matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
    };
    let sign = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        c if c.is_control() => ' ',
        c if c.is_whitespace() => ' ',
        c if face.has(c) => c,
        _ => BOX,
    };
    text.chars().filter(|c| !hidden(*c)).map(sign).collect()
}

/// Puts a text behind the lines, broken where it is too wide: between words, and within one that has no room by itself.
fn push(lines: &mut Vec<Line>, face: &Face, text: &str, (size, bold): (f32, bool), (block, above): (usize, f32)) {
    let room = PAGE.0 - 2.0 * MARGIN;
    let mut above = above;
    for paragraph in text.split('\n') {
        if lines.len() > PAGES_MAX * PAGE_LINES_MAX {
            return;
        }
        let mut line = String::new();
        let mut wide = 0.0;
        let mut done = |line: &mut String, wide: &mut f32| {
            let text = std::mem::take(line);
            *wide = 0.0;
            if !text.trim().is_empty() {
                lines.push(Line { text, size, bold, block, above: std::mem::take(&mut above) });
            }
        };
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let width = face.width(word, size);
            let space = if line.is_empty() { 0.0 } else { face.width(" ", size) };
            if wide + space + width <= room {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
                wide += space + width;
                continue;
            }
            done(&mut line, &mut wide);
            for c in word.chars() {
                let one = face.advance(c) * size / f32::from(face.measured.units_per_em().max(1));
                if wide + one > room {
                    done(&mut line, &mut wide);
                }
                line.push(c);
                wide += one;
            }
        }
        done(&mut line, &mut wide);
    }
}

/// Lines on pages; where there are too many, the last page says so in a block of its own.
fn pages(lines: Vec<Line>, cut: usize, sans: &Face) -> Vec<Vec<Line>> {
    let bottom = PAGE.1 - MARGIN - SMALL * 2.0;
    let mut pages: Vec<Vec<Line>> = vec![Vec::new()];
    let mut y = MARGIN;
    let needed = needed(&lines);
    for (line, needed) in lines.into_iter().zip(needed) {
        let high = line.size * LEADING + line.above;
        if y + needed > bottom && y > MARGIN {
            if pages.len() == PAGES_MAX {
                let mut told = Vec::new();
                push(&mut told, sans, CUT, (TEXT, false), (cut, 0.0));
                if let Some(last) = pages.last_mut() {
                    last.truncate(last.len().saturating_sub(told.len()));
                    last.append(&mut told);
                }
                break;
            }
            pages.push(Vec::new());
            y = MARGIN;
        }
        y += high;
        if let Some(page) = pages.last_mut() {
            page.push(line);
        }
    }
    pages
}

/// How much room each line needs on its page: what something is called stands on one page with the beginning of what it says.
fn needed(lines: &[Line]) -> Vec<f32> {
    let mut all = vec![0.0_f32; lines.len()];
    let (mut behind, mut together) = (0.0, 0);
    for (line, needed) in lines.iter().zip(&mut all).rev() {
        let high = line.size * LEADING + line.above;
        // of a name without end no more is kept together
        let keeps = line.bold && together < TOGETHER_MAX;
        (*needed, together) = if keeps { (high + behind, together + 1) } else { (high, 0) };
        behind = *needed;
    }
    all
}

fn write(title: &str, pages: &[Vec<Line>], kinds: &[Kind], (sans, bold): (&Face, &Face)) -> Result<Vec<u8>, String> {
    let mut document = Document::new();
    document.set_metadata(
        Metadata::new().title(title.to_owned()).language("en-GB".to_owned()).creator("Onward".to_owned()),
    );
    let mut groups: Vec<Option<TagGroup>> = kinds.iter().map(|_| None).collect();
    let all = pages.len();
    for (number, lines) in (1..).zip(pages) {
        let settings = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or("the page has no size")?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        let mut y = MARGIN;
        for line in lines {
            let face = if line.bold { bold } else { sans };
            y += line.above + line.size * LEADING;
            let id = surface.start_tagged(ContentTag::Span(SpanTag::empty()));
            let mut x = MARGIN;
            for run in runs(&line.text) {
                surface.draw_text(Point::from_xy(x, y), face.font.clone(), line.size, run, false, TextDirection::Auto);
                x += face.width(run, line.size);
            }
            surface.end_tagged();
            if let (Some(group), Some(kind)) = (groups.get_mut(line.block), kinds.get(line.block)) {
                group.get_or_insert_with(|| tagged(*kind)).push(id);
            }
        }
        let foot = format!("Page {number} of {all}");
        surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Footer)));
        let at = Point::from_xy(PAGE.0 - MARGIN - sans.width(&foot, SMALL), PAGE.1 - MARGIN);
        surface.draw_text(at, sans.font.clone(), SMALL, &foot, false, TextDirection::Auto);
        surface.end_tagged();
        surface.finish();
        page.finish();
    }
    let mut tree = TagTree::new();
    for group in groups.into_iter().flatten() {
        tree.push(group);
    }
    document.set_tag_tree(tree);
    document.finish().map_err(|error| format!("{error:?}"))
}

fn tagged(kind: Kind) -> TagGroup {
    match kind {
        Kind::Title => TagGroup::new(Tag::Hn(NonZeroU16::MIN, None)),
        Kind::Heading => TagGroup::new(Tag::Hn(NonZeroU16::MIN.saturating_add(1), None)),
        Kind::Text => TagGroup::new(Tag::P),
    }
}

/// A line in pieces that are written the same way: words of Arabic or Hebrew that stand together are one, so that they are read from the
/// right.
fn runs(line: &str) -> Vec<&str> {
    let is_right = |c: char| matches!(c, '\u{0590}'..='\u{08FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}');
    let mut runs = Vec::new();
    let (mut start, mut right, mut right_end) = (0, None, 0);
    for (at, c) in line.char_indices() {
        let strong = if is_right(c) {
            Some(true)
        } else if c.is_alphanumeric() {
            Some(false)
        } else {
            None
        };
        let Some(now) = strong else { continue };
        if right.is_some_and(|before| before != now) {
            // what stands between the two is of the line itself, which goes to the right
            let end = if now { at } else { right_end };
            runs.push(line.get(start..end).unwrap_or_default());
            start = end;
        }
        right = Some(now);
        right_end = at + c.len_utf8();
    }
    runs.push(line.get(start..).unwrap_or_default());
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_the_right_stand_together() {
        assert_eq!(runs("Name: ليلى حدّاد, born"), ["Name: ", "ليلى حدّاد", ", born"]);
        assert_eq!(runs("plain"), ["plain"]);
        assert_eq!(runs(""), [""]);
    }

    #[test]
    fn what_is_not_to_be_seen_is_not_and_what_cannot_be_is_a_box() {
        let face = Face::of(fonts::SANS).unwrap();
        assert_eq!(shown("a\u{202E}b\u{0}c\t漢\nŁé", &face), "ab c □\nŁé");
    }

    #[test]
    fn what_something_is_called_stands_with_what_it_says() {
        let (sans, bold) = (Face::of(fonts::SANS).unwrap(), Face::of(fonts::BOLD).unwrap());
        // wherever a page ends, it does not end between the two
        for filler in 0..60 {
            let mut blocks = vec![Block::Text("x".to_owned()); filler];
            for n in 0..20 {
                blocks.push(Block::Heading(format!("Heading {n}")));
                blocks.push(Block::Fact(format!("Name {n}"), vec!["one".into(), "two".into()]));
            }
            let (lines, kinds) = lines(&blocks, (&sans, &bold), &mut false);
            let count = lines.len();
            let pages = pages(lines, kinds.len(), &sans);
            assert!(pages.len() > 1 && pages.iter().map(Vec::len).sum::<usize>() == count, "nothing is lost");
            let ends = pages.iter().filter_map(|page| page.last());
            assert!(ends.into_iter().all(|line| !line.bold), "{filler}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        let face = Face::of(fonts::SANS).unwrap();
        let mut lines = Vec::new();
        let text = format!("{} {} short", "word ".repeat(100), "x".repeat(5_000));
        push(&mut lines, &face, &text, (TEXT, false), (0, 1.0));
        assert!(lines.len() > 40);
        let room = PAGE.0 - 2.0 * MARGIN;
        assert!(lines.iter().all(|line| face.width(&line.text, TEXT) <= room + 0.1));
        let said: String = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(said.matches('x').count(), 5_000, "nothing is lost");
    }
}
