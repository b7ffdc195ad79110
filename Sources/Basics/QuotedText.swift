extension String {
  /// The text with some characters replaced, Unicode scalar by scalar.
  ///
  /// A mark that a combining character follows is still the mark for whoever reads bytes: a browser, a shell, a CSV reader. Swift's
  /// own `replacing` takes the two for one character, and leaves them.
  /// - Parameter marks: what stands for which scalar.
  /// - Complexity: O(length).
  public func replacingScalars(_ marks: [Unicode.Scalar: String]) -> String {
    guard unicodeScalars.contains(where: { marks[$0] != nil }) else { return self }
    var result = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      if let other = marks[scalar] {
        result.append(contentsOf: other.unicodeScalars)
      } else {
        result.append(scalar)
      }
    }
    return String(result)
  }
}

/// A field of CSV as RFC 4180 writes it: quoted when it holds a comma, a quote or a line break.
public func csvField(_ text: String) -> String {
  let needsQuotes = text.utf8.contains { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
  return needsQuotes ? "\"" + text.replacingScalars(["\"": "\"\""]) + "\"" : text
}

/// A word as a shell takes it: plain words as they are, others in single quotes.
/// - Parameters:
///   - word: any text without the character NUL.
///   - plain: marks that need no quotes beside letters and digits.
public func shellQuoted(_ word: String, plain: String = "._/+-") -> String {
  let isPlain = word.unicodeScalars.allSatisfy {
    $0.isASCII
      && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || plain.unicodeScalars.contains($0))
  }
  return isPlain && !word.isEmpty ? word : "'" + word.replacingScalars(["'": "'\\''"]) + "'"
}
