import Settings
import Testing

/// One parser reads what users type, in `--set` and in a line of attention.
@Suite struct ParameterValueTests {
  private struct Sample: ParameterSet {
    var left = 1
    var share = 0.5
    var positions = [0]
    static let parameters: [Parameter<Self>] = [
      .integer("left", \.left, help: ""),
      .real("share", \.share, in: 0...1, help: ""),
      .integers("positions", \.positions, help: ""),
    ]
  }

  static let cases: [(String, ParameterValue)] = [
    ("64", .int(64)), (" -3 ", .int(-3)), ("1e-3", .double(0.001)), (".5", .double(0.5)),
    ("true", .bool(true)), ("False", .string("False")), ("google", .string("google")),
    ("[1, 2]", .list([1, 2])), ("[1 2]", .list([1, 2])), ("1,2", .list([1, 2])), ("[]", .list([])),
    // Almost values: they stay words, and a parameter that takes none refuses them.
    ("[1,,2]", .string("[1,,2]")), ("[1,]", .string("[1,]")), ("1,,2", .string("1,,2")),
    ("1e999", .string("1e999")), ("-1e999", .string("-1e999")), ("nan", .string("nan")),
    ("inf", .string("inf")), ("+inf", .string("+inf")), ("99999999999999999999", .double(1e20)),
  ]

  @Test("a text is one value wherever it is typed", arguments: Self.cases)
  func readings(text: String, value: ParameterValue) throws {
    #expect(ParameterValue(parsing: text) == value)
    // In a line of attention a comma outside brackets separates settings.
    if text.contains(","), !text.hasPrefix("[") { return }
    let layer = try #require(try LayerAttention.parse("variant(name=\(text))").first)
    #expect(layer.settings == ["name": value])
  }

  @Test("what is almost a value is refused as it was typed")
  func almostValues() throws {
    for (name, text) in [("left", "1e999"), ("share", "1e999"), ("share", "nan"), ("positions", "[1,,2]")] {
      let error = #expect(throws: ConfigurationError.self) {
        _ = try Sample(settings: [name: ParameterValue(parsing: text)])
      }
      #expect(error?.field == name && error?.value == text)
    }
  }
}
