import Basics
import Foundation
import LabTestSupport
import Records
import Testing

/// The page on several ranks extrapolates published rows: its commands are run as printed, and its table is what they say.
@Suite struct RanksPageTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let published = "results/published/ranks/measurements.csv"

  /// The lines of the section that has the laws.
  private static func section() throws -> [String] {
    let page = try String(
      contentsOfFile: root + "/Sources/AttentionLab/Documentation.docc/Guides/several-ranks.md",
      encoding: .utf8)
    let part = try #require(page.components(separatedBy: "\n## Laws of length and ranks\n").last)
    return part.components(separatedBy: "\n## ")[0].components(separatedBy: "\n")
  }

  /// A measurement of what a prediction is about; with more ranks than the two processors, which took turns, the time that each
  /// would have had on one of its own.
  private static func measured(_ variant: String, _ pass: String, _ length: Double, _ ranks: Double) throws
    -> Double?
  {
    let (tokens, processes) = (Int(length), Int(ranks))
    let row = try MeasurementRow.read("\(root)/\(published)").first { row in
      row.variant == variant && row.pass?.rawValue == pass && row.keyLength == tokens
        && row.ranks == processes
    }
    return row?.secondsMedian.map { seconds in seconds * min(ranks, 2) / ranks }
  }

  @Test("its commands give its table, of committed rows, and say that they extrapolate")
  func table() async throws {
    let lines = try Self.section()
    let commands = lines.joined(separator: "\n").replacingOccurrences(of: " \\\n", with: " ")
      .components(separatedBy: "\n").filter { $0.hasPrefix("attnlab fit \(Self.published) ") }
    #expect(commands.count >= 4)
    var expected: [String] = []
    for (number, command) in commands.enumerated() {
      let result = try await BuiltProgram.attnlab.finishedShell(command + " --json", in: Self.root)
      #expect(result.code == 0, "\(result.errors)")
      let variant = command.contains("'full'") ? "full" : "sliding-window"
      for fit in try JSONValue(parsing: result.output, file: "fit")["fits"].arrayValue {
        let pass = try #require(fit["group"].stringValue)
        let codes = fit["warnings"].arrayValue.compactMap { $0["code"].stringValue }
        for prediction in fit["predictions"].arrayValue {
          let length = try #require(prediction["at"]["key_length"].numberValue)
          let ranks = try #require(prediction["at"]["ranks"].numberValue)
          func text(_ value: Double?) -> String { value.map { Quantity.significant($0, 3) } ?? "–" }
          let cells = [
            "\(number + 1)", "`\(variant)`", pass, try #require(fit["rows_used"].wholeValue).description,
            Quantity.whole(length), Quantity.whole(ranks), text(prediction["value"].numberValue),
            "\(text(prediction["low"].numberValue)) … \(text(prediction["high"].numberValue))",
            text(try Self.measured(variant, pass, length, ranks)),
          ]
          expected.append("| " + cells.joined(separator: " | ") + " |")
          #expect(length < 1e7 || codes.contains("extrapolation"), "\(command)")
        }
      }
    }
    let found = lines.filter {
      $0.hasPrefix("| 1 ") || $0.first == "|" && $0.dropFirst(2).first?.isNumber == true
    }
    #expect(found == expected, "the page needs:\n\(expected.joined(separator: "\n"))")
  }

  @Test("bytes and messages of its rows are those of the formulas")
  func traffic() throws {
    let rows = try MeasurementRow.read("\(Self.root)/\(Self.published)").filter { $0.ranks > 1 }
    #expect(rows.count == 72 && rows.allSatisfy { $0.status == .ok })
    for row in rows {
      let length = try #require(row.keyLength), ranks = row.ranks
      let passes = row.pass == .backward ? 2 : 1
      // A key and its value: 2 · 64 numbers of four bytes. Backward they move again, and their gradients come home.
      let keys = row.variant == "full" ? 3 * length * (ranks - 1) / 4 : (ranks - 1) * 255
      #expect(row.bytesSent == passes * keys * 2 * 64 * 4, "\(row.variant) \(length) \(ranks)")
    }
    let window = rows.filter { $0.variant == "sliding-window" && $0.ranks == 8 && $0.pass == .forward }
    #expect(
      window.count == 6 && Set(window.map(\.bytesSent)).count == 1 && Set(window.map(\.messages)).count == 1)
  }
}
