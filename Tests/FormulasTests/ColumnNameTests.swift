import Testing

@testable import Formulas
@testable import LeastSquares

/// A text that stands in the header is that column; braces hold a column; the rest is a formula.
@Suite("Names of columns in formulas")
struct ColumnNameTests {
  static let columns = ["train/loss", "train", "Seq Len", "pi", "e", "N", "a-b", "log(x)", "Size, M", "2"]

  @Test("A text that stands in the header is that column, whatever it looks like", arguments: columns)
  func literal(_ column: String) throws {
    let columns = Self.columns
    for text in [column, " \(column) ", "{\(column)}"] {
      #expect(try FormulaExpression(resolving: text, columns: columns) == .name(column))
    }
    #expect(try FormulaExpression(filtering: column, columns: columns) == .name(column))
    let law = try FormulaForm("A + B*{\(column)}^alpha", columns: columns)
    #expect(law.variables == [column])
    #expect(law.parameters.map(\.name) == ["A", "B", "alpha"])
  }

  @Test("Columns named pi and e win over the constant; without them pi is one")
  func constants() throws {
    let law = try FormulaForm("a*pi + b*e", columns: ["pi", "e"])
    #expect(law.variables == ["pi", "e"] && law.parameters.map(\.name) == ["a", "b"])
    #expect(try FormulaForm("a*pi*x", columns: ["x"]).parameters.map(\.name) == ["a"])
    #expect(try FormulaExpression(resolving: "pi*N", columns: ["N"]).value { _ in 1 } == Double.pi)
  }

  @Test("A name in braces that is no column is a mistake, never a parameter")
  func braces() throws {
    let error = #expect(throws: FitError.self) { try FormulaForm("a + b/{nope}", columns: ["note", "x"]) }
    #expect(
      error?.description
        == "formula 'a + b/{nope}', column 7: no column nope; there are note, x (did you mean note?): braces hold the name of a column"
    )
    for text in ["{nope}", "x + {nope}", "{nope} > 3"] {
      #expect(throws: FitError.self) { try FormulaExpression(resolving: text, columns: ["note", "x"]) }
      #expect(throws: FitError.self) { try FormulaExpression(filtering: text, columns: ["note", "x"]) }
    }
  }

  @Test(
    "A name that stands in a formula as in the header is that column, the longest first",
    arguments: [
      ("train/loss<1", ["train/loss"]), ("2*train/loss + 1", ["train/loss"]),
      ("(train/loss)", ["train/loss"]),
      ("train / loss", ["train", "loss"]), ("train/losses", ["train", "losses"]),
      ("x-train/loss/x", ["x", "train/loss"]),
      ("Seq Len^2", ["Seq Len"]), ("log(x)*x", ["log(x)", "x"]), ("log(x + 1)", ["x"]),
      ("a-b-b", ["a-b", "b"]),
      ("train/loss/2", ["train/loss/2"]),
    ])
  func within(_ text: String, _ expected: [String]) throws {
    let columns = [
      "train", "loss", "losses", "train/loss", "train/loss/2", "Seq Len", "log(x)", "x", "a", "b", "a-b",
    ]
    #expect(try Set(FormulaExpression(resolving: text, columns: columns).names) == Set(expected))
    #expect(try Set(FormulaExpression(filtering: text, columns: columns).names) == Set(expected))
    guard !text.contains("<") else { return }
    #expect(try Set(FormulaForm("k*(\(text))", columns: columns).variables) == Set(expected))
  }

  @Test("Lists are split at commas outside brackets, and a column with a comma is one column")
  func lists() {
    let columns = ["N", "Size, M", "f(a,b)"]
    #expect(columns.split(list: "N,Size, M") == ["N", "Size, M"])
    #expect(columns.split(list: "Size, M,N") == ["Size, M", "N"])
    #expect(columns.split(list: "max(N,2), {Size, M}") == ["max(N,2)", "{Size, M}"])
    #expect(columns.split(list: "f(a,b)") == ["f(a,b)"])
  }

  @Test(
    "Texts in quotes stand beside a column and an equality only",
    arguments: [
      "'a' == 'b'", "N < 'x'", "N + 'x'", "'x'", "abs('x') == 1",
    ])
  func texts(_ text: String) {
    #expect(throws: FitError.self) { try FormulaExpression(filtering: text, columns: ["N"]) }
    #expect(throws: FitError.self) { try FormulaExpression(resolving: text, columns: ["N"]) }
  }

  @Test(
    "Formulas of any length and depth end in a line, not in a stack that overflows",
    arguments: [
      String(repeating: "-", count: 100_000) + "x", String(repeating: "(", count: 9_000),
      "x" + String(repeating: "^x", count: 4_000), "x" + String(repeating: "+x", count: 4_000),
      String(repeating: "!", count: 9_000) + "x", String(repeating: "abs(", count: 2_000),
      "x" + String(repeating: "*x", count: 100_000),
    ])
  func sizes(_ text: String) {
    let error = #expect(throws: FitError.self) { try FormulaForm(text + "*a", columns: ["x"]) }
    #expect((error?.description.count ?? 1000) < 300)
  }
}
