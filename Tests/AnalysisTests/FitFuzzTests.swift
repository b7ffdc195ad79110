import Basics
import Foundation
import Formulas
import LeastSquares
import Testing

@testable import Analysis
@testable import Records

/// Texts that nobody writes: every one ends in a value or in an error, soon and in bounded memory.
@Suite("Fuzzed formulas and tables") struct FitFuzzTests {
  /// Texts from pieces that mean something to the readers, mixed with bytes that do not.
  struct Source {
    var generator: SplitMix64

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    mutating func text(_ pieces: [String], longest: Int) -> String {
      var text = ""
      for _ in 0..<(1 + below(longest)) {
        text += below(12) == 0 ? String(UnicodeScalar(UInt8(below(256)))) : pieces[below(pieces.count)]
      }
      if below(40) == 0 { text = String(repeating: text, count: 1 + below(400)) }
      return text
    }
  }

  static let pieces = [
    "x", "y", "a", "b", "train/loss", "{train/loss}", "{x}", "{", "}", "(", ")", "[", "]", "+", "-", "*", "/",
    "^",
    "**", "=", "==", "!=", "<", ">=", "&&", "||", "!", "exp(", "log(", "min(", ",", "1", "2.5", "1e9",
    "1e999", ".",
    "pi", "e", "'t'", "\"", " ", "−", "·", "é", "\u{301}", "nan", "inf",
  ]

  static let seeds = Array(UInt64(1)...8)

  @Test("Formulas, filters, lists, definitions", arguments: seeds)
  func formulas(seed: UInt64) throws {
    var source = Source(generator: SplitMix64(seed: seed))
    let rows = (1...8).map { "\($0),\(3.0 / Double($0)),\(Double($0) - 4),t" }.joined(separator: "\n")
    let table = try CSVTable(text: "x,train/loss,y,t\n" + rows + "\n", file: "t.csv")
    for _ in 0..<300 {
      let text = source.text(Self.pieces, longest: 12)
      let columns = try FitTable(table, definitions: [])
      _ = columns.names.split(list: text)
      if let quantity = try? columns.quantity(text, option: "--y") {
        let request = FitTable.Request(
          variables: [FitTable.Quantity(label: "x", expression: .name("x"))], response: quantity)
        _ = try? columns.groups(request)
      }
      if let filter = try? columns.filter(text, option: "--where") {
        for row in table.rows.indices {
          var values = RowValues(columns, row: row)
          _ = try? values.passes(filter)
        }
      }
      // A definition, and one over it that names it many times.
      let again = "q=" + [String](repeating: "d", count: 1 + source.below(20)).joined(separator: "+")
      if let derived = try? FitTable(table, definitions: ["d=" + text, again]),
        let quantity = try? derived.quantity("q", option: "--y")
      {
        var values = RowValues(derived, row: 0)
        _ = try? values.value(of: quantity.expression)
      }
      guard let form = try? FormulaForm(text, columns: columns.names), form.parameters.count <= 4 else {
        continue
      }
      var gradient = [Double](repeating: 0, count: form.parameters.count)
      _ = form.evaluate(
        form.parameters.map { _ in 1 }, at: form.variables.map { _ in 2 }, gradient: &gradient)
    }
  }

  @Test("Definitions that double each other are computed once a row")
  func doubling() throws {
    let table = try CSVTable(text: "x\n1\n2\n", file: "t.csv")
    let definitions = ["d0=x"] + (1...60).map { "d\($0)=d\($0 - 1)+d\($0 - 1)" }
    let columns = try FitTable(table, definitions: definitions)
    var values = RowValues(columns, row: 1)
    #expect(try values.number("d60") == 0x1p61)
  }

  @Test("Small formulas that can be read are fitted or refused", arguments: seeds)
  func fits(seed: UInt64) throws {
    var source = Source(generator: SplitMix64(seed: seed &* 77))
    let x = (1...8).map(Double.init)
    let data = try FitData(x: x, y: x.map { 2 + 1 / $0 })
    var options = FitOptions(space: seed % 2 == 0 ? .log : .raw)
    (options.starts, options.influence) = (2, false)
    let pieces = [
      "x", "a", "b", "c", "+", "-", "*", "/", "^", "exp(", "log(", "sqrt(", "(", ")", "2", "1e9", "-1",
    ]
    var fitted = 0
    for _ in 0..<400 where fitted < 6 {
      let text = source.text(pieces, longest: 7)
      guard let form = try? FormulaForm(text, columns: ["x"]), form.parameters.count <= 3 else { continue }
      fitted += 1
      guard let fit = try? Fitter(form, options: options).fit(data) else { continue }
      _ = fit.predict(at: [1e300])
      _ = fit.predict(at: [-1])
    }
    #expect(fitted > 0, "seed \(seed) made no formula")
  }

  @Test("Bytes of tables, in every dialect", arguments: seeds)
  func tables(seed: UInt64) throws {
    var source = Source(generator: SplitMix64(seed: seed &* 991))
    let cells = [
      "1", "2,5", "\"", "\"a\"", "a b", "", " ", "\u{FEFF}", "1.234,5", "nan", "é", ",", ",", ";", "\t", "|",
      "\n",
      "\n", "\r\n", "\r", "x", "y,", "\"\"\"", "\u{0}",
    ]
    for _ in 0..<200 {
      var bytes = Array(source.text(cells, longest: 40).utf8)
      if source.below(3) == 0, !bytes.isEmpty { bytes[source.below(bytes.count)] = UInt8(source.below(256)) }
      if source.below(8) == 0 { bytes = [0xFF, 0xFE] + bytes }
      for separator in [nil, "comma", "semicolon", "space", "tab"] {
        for encoding in CSVDialect.Encoding.allCases {
          let dialect = try CSVDialect(
            separator: separator, decimalComma: source.below(2) == 0, encoding: encoding)
          guard let table = try? CSVTable(bytes: bytes, file: "t.csv", dialect: dialect) else {
            continue
          }
          #expect(table.rows.allSatisfy { $0.count == table.header.count })
          #expect(Set(table.header).count == table.header.count && !table.header.contains(""))
          guard let name = table.header.first else { continue }
          _ = try? table.numbers(name)
          let columns = try FitTable(table)
          for row in table.rows.indices {
            var values = RowValues(columns, row: row)
            _ = try? values.number(name)
          }
        }
      }
    }
  }

  @Test("Wide and long tables are read in time that grows with their size")
  func large() throws {
    let wide = (0..<50_000).map { "c\($0)" }.joined(separator: ",") + "\n"
    #expect(try CSVTable(text: wide, file: "t.csv").header.count == 50_000)
    let empty = String(repeating: ",", count: 50_000) + "\n"
    #expect(try CSVTable(text: "a" + empty + "1" + empty, file: "t.csv").header == ["a"])
  }
}
