import LabTestSupport
import Mutation
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
    ("true", .bool(true)), ("False", .bool(false)), ("TRUE", .bool(true)), ("google", .string("google")),
    ("yes", .string("yes")), ("null", .string("none")), ("~", .string("none")), ("1e3", .int(1000)),
    ("1E+3", .int(1000)), ("1.", .int(1)), ("0x10", .int(16)), ("0o17", .int(15)), ("007", .int(7)),
    ("+5", .int(5)), ("0b1", .string("0b1")), ("1_000", .string("1_000")), ("0x1p3", .string("0x1p3")),
    ("0x-1", .string("0x-1")), (".", .string(".")), ("1e", .string("1e")), (".inf", .string(".inf")),
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

  @Test(
    "a text that a line of attention writes is read as that text",
    arguments: [
      "", " ", "a", " a ", "64", "true", "null", "a, b", "(", "[1, 2]", "\"", "'", "x3", "a=b", "a x3",
    ])
  func writings(text: String) throws {
    let layer = LayerAttention("variant", settings: ["name": .string(text)])
    #expect(try LayerAttention.parse("\(layer)") == [layer], "\(layer)")
  }

  @Test("a whole number may have an exponent, and quoted numbers stay text, shown with their quotes")
  func exponentsAndQuotes() throws {
    let sample = try Sample(settings: ["left": ParameterValue(parsing: "1e3"), "positions": .double(2)])
    #expect(sample.left == 1000 && sample.positions == [2])
    for value in [ParameterValue.string("64"), .double(0.5), .double(0x1p54)] {
      let error = #expect(throws: ConfigurationError.self) { try Sample(settings: ["left": value]) }
      #expect(error?.value == (value == .string("64") ? "\"64\"" : "\(value)"))
    }
  }

  @Test("a line of attention of more layers than a model has is refused before they are made")
  func longLines() {
    #expect(throws: ConfigurationError.self) {
      try LayerAttention.parse(Array(repeating: "full x1000", count: 11).joined(separator: ", "))
    }
  }

  @Test("4000 mutated lines of attention: layers or one line", .timeLimit(.minutes(BodyTime.hangLimit)))
  func mutatedLines() {
    let time = BodyTime()
    defer { #expect(time.seconds < 60) }
    var mutator = Mutator(seed: 44)
    let lines = [
      "full x2, sliding-window(left=8, right=0)",
      "local-global(positions=[1 2], window=1e3) x3, lsh(buckets=16)",
    ]
    for number in 0..<4000 {
      let line = String(decoding: mutator.mutate(Array(lines[number % 2].utf8)), as: UTF8.self)
      do { #expect(try LayerAttention.parse(line).count <= 10_000) } catch {
        #expect(!error.description.contains("\n"), "mutation \(number) of seed 44: \(error)")
      }
    }
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
