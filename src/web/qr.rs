//! A text as a QR code (ISO/IEC 18004) that is drawn in a page: squares of a path, so that nothing is fetched and no script runs.

use qrcode::{Color, EcLevel, QrCode};

/// What must stay empty around it, in squares (ISO/IEC 18004, 9.1).
const QUIET: usize = 4;

/// What is drawn.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// How wide and high it is, in squares.
    pub side: usize,
    /// The dark squares as the path of an SVG, a run of each line at a time.
    pub path: String,
}

/// The picture of a text; none where the text is too long for one.
pub(super) fn picture(text: &str) -> Option<Picture> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let colours = code.to_colors();
    let mut path = String::new();
    for (line, squares) in colours.chunks(width.max(1)).enumerate() {
        let mut at = 0;
        for run in squares.chunk_by(|one, next| one == next) {
            if run.first() == Some(&Color::Dark) {
                path.push_str(&format!("M{} {}h{}v1h-{}z", at + QUIET, line + QUIET, run.len(), run.len()));
            }
            at += run.len();
        }
    }
    Some(Picture { side: width + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::totp;

    /// The picture as a camera has it: so many dots a square, dark ones where the path goes.
    fn seen(picture: &Picture) -> Vec<Vec<bool>> {
        const DOTS: usize = 4;
        let mut dots = vec![vec![false; picture.side * DOTS]; picture.side * DOTS];
        for run in picture.path.split_terminator('z') {
            let (at, rest) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y, length) =
                (x.parse::<usize>().unwrap(), y.parse::<usize>().unwrap(), rest.split('v').next().unwrap());
            for line in &mut dots[y * DOTS..(y + 1) * DOTS] {
                line[x * DOTS..(x + length.parse::<usize>().unwrap()) * DOTS].fill(true);
            }
        }
        dots
    }

    #[test]
    fn a_camera_reads_what_was_written() {
        let link = totp::link(&[7; 20], "anna.carr@example.nhs.uk");
        let picture = picture(&link).unwrap();
        let dots = seen(&picture);
        let side = dots.len();
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| if dots[y][x] { 0 } else { 255 });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        assert_eq!(grids[0].decode().unwrap().1, link);
    }

    #[test]
    fn what_is_too_long_has_no_picture() {
        assert_eq!(picture(&"x".repeat(10_000)), None);
    }
}
