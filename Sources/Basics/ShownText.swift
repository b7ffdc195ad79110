/// Text of a user or of a file as a message shows it: on one line, bounded in length, and with nothing in it that a
/// terminal would obey.
///
/// ```swift
/// shown("a\u{1B}[2Jb")                      // a\u{1B}[2Jb, written out
/// shown(String(repeating: "x", count: 500)) // xxxx…xx (500 characters)
/// ```
/// - Parameters:
///   - text: what a user or a file says.
///   - limit: how many Unicode scalars of the text are shown at most.
/// - Complexity: O(text).
public func shown(_ text: some StringProtocol, limit: Int = 80) -> String {
  let scalars = String(text).unicodeScalars
  guard let end = scalars.index(scalars.startIndex, offsetBy: limit, limitedBy: scalars.endIndex),
    end < scalars.endIndex
  else { return visible(text) }
  let count = scalars.count
  let tail = limit / 5
  let head = scalars.prefix(limit - tail), rest = scalars.suffix(tail)
  return visible(String(head)) + "…" + visible(String(rest)) + " (\(count) characters)"
}

/// Names in a message: the first of them, each shown, and how many there are when that is not all.
public func shown(list names: [String], limit: Int = 20) -> String {
  let some = names.prefix(limit).map { shown($0, limit: 60) }.joined(separator: ", ")
  return names.count > limit ? "\(some), … (\(names.count) in all)" : some
}

/// The same text with its control and format characters written out as in a Swift literal: `\n`, `\u{1B}`.
///
/// Format characters (zero-width, right-to-left overrides) make a terminal show another text than stands in the file.
/// - Parameters:
///   - text: what a user or a file says.
///   - keepingLineBreaks: whether `\n` stays, for text of several lines.
public func visible(_ text: some StringProtocol, keepingLineBreaks: Bool = false) -> String {
  guard text.unicodeScalars.contains(where: { isHidden($0) && !(keepingLineBreaks && $0 == "\n") }) else {
    return String(text)
  }
  var result = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    if !isHidden(scalar) || (keepingLineBreaks && scalar == "\n") {
      result.append(scalar)
    } else {
      result.append(contentsOf: scalar.escaped(asASCII: true).unicodeScalars)
    }
  }
  return String(result)
}

/// Whether a terminal acts on a character rather than showing it. The joiner of emoji is let through.
private func isHidden(_ scalar: Unicode.Scalar) -> Bool {
  if scalar.value >= 0x20, scalar.value < 0x7F { return false }
  switch scalar.properties.generalCategory {
  case .control, .lineSeparator, .paragraphSeparator, .surrogate: return true
  case .format: return scalar.value != 0x200D
  default: return false
  }
}
