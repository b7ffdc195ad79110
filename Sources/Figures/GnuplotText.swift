import Basics

/// Text as a gnuplot string, whatever it holds: in double quotes, with every mark that means something to gnuplot, to
/// the C library or to a shell as an octal escape.
///
/// Single quotes will not do: gnuplot 5.4 reads `'''x'` as an empty string and a stray `x`. Double quotes alone will
/// not do: it runs what stands between backquotes, and expands what follows an `@`.
package func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    if scalar.value >= 128 || plain.contains(scalar) {
      result.unicodeScalars.append(scalar)
    } else {
      let digits = String(scalar.value, radix: 8)
      result += "\\" + String(repeating: "0", count: 3 - digits.count) + digits
    }
  }
  return result + "\""
}

/// The ASCII marks that mean nothing anywhere.
private let plain = Set(
  " ()*+,-./0123456789:=ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz{}".unicodeScalars)

/// Text without line breaks and other control characters, which would end a comment or a string.
func oneLine(_ text: String) -> String {
  String(
    text.map { character in
      let isControl = character.unicodeScalars.contains { $0.properties.generalCategory == .control }
      return character.isNewline || isControl ? " " : character
    })
}

/// Text in which gnuplot's enhanced mode sees no mark-up, on one line.
package func escaped(_ text: String) -> String {
  oneLine(text).replacingScalars(markUp)
}

/// gnuplot's marks, each made harmless.
private let markUp = Dictionary(uniqueKeysWithValues: "_^{}@&~\\".unicodeScalars.map { ($0, "\\\($0)") })
