//! The tokens of a file in one list, macros and docs included.
//!
//! Rules that ask whether something is *named* look here, since a syntax tree does not look into macros.

use proc_macro2::{Delimiter, Group, Literal, TokenStream, TokenTree};

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// Of a literal with text, the text.
    pub(super) text: String,
    pub(super) line: usize,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Ident,
    /// A character of an operator, or a bracket.
    Mark,
    Literal,
    /// The text of a doc comment.
    Doc,
}

impl Token {
    /// Whether this is the identifier `name`.
    pub(super) fn is_ident(&self, name: &str) -> bool {
        self.kind == TokenKind::Ident && self.text == name
    }

    fn is_mark(&self, mark: &str) -> bool {
        self.kind == TokenKind::Mark && self.text == mark
    }

    /// The lines of the text and their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (self.line..).zip(self.text.lines())
    }
}

/// All tokens of a stream, in order.
pub(super) fn flatten(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    append(stream, &mut tokens);
    tokens
}

fn append(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let (kind, text) = match tree {
            TokenTree::Group(group) => {
                append_group(&group, tokens);
                continue;
            }
            TokenTree::Ident(ident) => (TokenKind::Ident, ident.to_string()),
            TokenTree::Punct(punct) => (TokenKind::Mark, punct.as_char().to_string()),
            TokenTree::Literal(literal) => (literal_kind(tokens), text_of(literal)),
        };
        tokens.push(Token { kind, text, line });
    }
}

fn append_group(group: &Group, tokens: &mut Vec<Token>) {
    let (open, close) = match group.delimiter() {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    };
    let mark = |text: &str, line| Token { kind: TokenKind::Mark, text: text.to_owned(), line };
    tokens.push(mark(open, group.span_open().start().line));
    append(group.stream(), tokens);
    tokens.push(mark(close, group.span_close().start().line));
}

/// A doc comment is lexed as `#[doc = "…"]`.
fn literal_kind(before: &[Token]) -> TokenKind {
    match before {
        [.., doc, equals] if doc.is_ident("doc") && equals.is_mark("=") => TokenKind::Doc,
        _ => TokenKind::Literal,
    }
}

fn text_of(literal: Literal) -> String {
    let written = literal.to_string();
    match syn::Lit::new(literal) {
        syn::Lit::Str(text) => text.value(),
        _ => written,
    }
}

/// The places where `pattern` occurs, token by token.
pub(super) fn find<'a>(tokens: &'a [Token], pattern: &'a [&str]) -> impl Iterator<Item = &'a Token> {
    let is_code = |token: &Token| matches!(token.kind, TokenKind::Ident | TokenKind::Mark);
    let matches = move |found: &&[Token]| {
        found.iter().zip(pattern).all(|(token, expected)| is_code(token) && token.text == **expected)
    };
    tokens.windows(pattern.len()).filter(matches).filter_map(|found| found.first())
}

/// The paths such as `a::b::c` in code, and where they begin.
pub(super) fn paths(tokens: &[Token]) -> Vec<(usize, Vec<&str>)> {
    let mut paths: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut rest = tokens;
    while let Some((first, mut after)) = rest.split_first() {
        if first.kind == TokenKind::Ident {
            let mut path = vec![&*first.text];
            while let [colon, second, name, others @ ..] = after {
                if !colon.is_mark(":") || !second.is_mark(":") || name.kind != TokenKind::Ident {
                    break;
                }
                path.push(&name.text);
                after = others;
            }
            paths.push((first.line, path));
        }
        rest = after;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(code: &str) -> Vec<Token> {
        flatten(code.parse().expect("tokens"))
    }

    #[test]
    fn docs_are_told_from_strings() {
        let tokens = lex("//! one \"two\"\nconst A: &str = \"three\";\n/** four\nfive */ struct B;");
        let texts = |kind| tokens.iter().filter(move |token| token.kind == kind).map(|token| &*token.text);
        assert_eq!(texts(TokenKind::Doc).collect::<Vec<_>>(), [" one \"two\"", " four\nfive "]);
        assert_eq!(texts(TokenKind::Literal).collect::<Vec<_>>(), ["three"]);
        let block = tokens.iter().find(|token| token.text.contains("four")).expect("a doc");
        assert_eq!(block.lines().collect::<Vec<_>>(), [(3, " four"), (4, "five ")]);
    }

    #[test]
    fn paths_are_found_in_macros() {
        let tokens = lex("m! {\n a::b::<c>(d, ::e::f) }");
        let expected = [(1, vec!["m"]), (2, vec!["a", "b"]), (2, vec!["c"]), (2, vec!["d"]), (2, vec!["e", "f"])];
        assert_eq!(paths(&tokens), expected);
    }

    #[test]
    fn patterns_are_found_where_they_begin() {
        let tokens = lex("fn f() {\n  dbg!(1);\n}");
        assert_eq!(find(&tokens, &["dbg", "!"]).map(|token| token.line).collect::<Vec<_>>(), [2]);
        assert_eq!(find(&tokens, &["todo", "!"]).count(), 0);
    }
}
