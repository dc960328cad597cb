//! Text put together at compile time: a panic in a constant takes one text.

/// Most bytes of a message; what is more is cut off.
const MAX: usize = 240;

/// Pieces of text as one.
pub(crate) struct Message {
    bytes: [u8; MAX],
    len: usize,
}

impl Message {
    /// Puts pieces together.
    pub(crate) const fn of(pieces: &[&str]) -> Self {
        let mut message = Message { bytes: [0; MAX], len: 0 };
        let mut index = 0;
        while index < pieces.len() {
            let piece = pieces[index].as_bytes();
            let mut at = 0;
            while at < piece.len() && message.len < MAX {
                message.bytes[message.len] = piece[at];
                message.len += 1;
                at += 1;
            }
            index += 1;
        }
        message
    }

    /// The text.
    pub(crate) const fn text(&self) -> &str {
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "a rule is broken",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_pieces_as_far_as_there_is_room() {
        assert_eq!(Message::of(&["table of ", "", "one"]).text(), "table of one");
        let piece = "0123456789";
        let long = Message::of(&[piece; 30]);
        assert_eq!((long.len, long.text()), (MAX, &*[piece; 24].concat()));
    }
}
