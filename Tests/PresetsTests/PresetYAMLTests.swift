import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Mutation
import Presets
import Records
import Settings
import Testing

/// YAML in presets: anchors, aliases and merge keys, words as YAML 1.2's core schema means them, and nothing that costs
/// more than its text says.
@Suite struct PresetYAMLTests {
  private static func node(_ yaml: String) throws(UsageError) -> PresetNode? {
    try PresetNode.parse(yaml, place: { "p.yaml:\($0)" })
  }

  private static func preset(_ yaml: String, sets: [String] = []) throws(UsageError) -> Preset {
    try Preset(yaml: yaml, file: "p.yaml", sets: sets, catalog: .standard, kinds: .standard)
  }

  @Test(
    "numbers and truth values have the core schema's meaning, quoted ones are text",
    arguments: [
      ("1e3", CoreScalar.double(1000)), ("1E+3", .double(1000)), (".5", .double(0.5)), ("-1.", .double(-1)),
      ("0x10", .int(16)), ("0o17", .int(15)), ("012", .int(12)), ("+7", .int(7)),
      (".inf", .double(.infinity)),
      ("-.Inf", .double(-.infinity)), ("True", .bool(true)), ("FALSE", .bool(false)), ("~", .null),
      ("Null", .null),
      ("", .null), ("yes", .text("yes")), ("on", .text("on")), ("1_000", .text("1_000")),
      ("0b11", .text("0b11")),
      ("'1e3'", .text("1e3")), ("\"True\"", .text("True")), ("'~'", .text("~")), ("0x", .text("0x")),
      ("1e", .text("1e")),
      ("inf", .text("inf")), ("nan", .text("nan")), ("9223372036854775808", .double(0x1p63)),
      ("tRue", .text("tRue")),
    ])
  func scalars(text: String, meaning: CoreScalar) throws {
    #expect(try Self.node("a: \(text)\n")?["a"]?.scalar == meaning)
  }

  @Test("fields take every spelling of a value, and cells know only the value")
  func fields() throws {
    let plain = try Self.preset(
      "n: [1000, 16]\nvariants: [sliding-window: {left: 15}]\ncausal: true\nseed: 16\nthreads: 8\n")
    let other = try Self.preset(
      "n: [1e3, 0x10]\nvariants: [sliding-window: {left: 0o17}]\ncausal: TRUE\nseed: 0x10\nthreads: 0x8\n")
    #expect(try other.cells().map(\.id) == plain.cells().map(\.id))
    let large = try Self.preset("n: 8\nvariants: full\nseed: 18446744073709551615\n")
    #expect(try large.cells().map(\.seed) == [.max])
  }

  @Test(
    "quotes stay in messages",
    arguments: [
      ("variants: full\nn: \"8\"\n", "p.yaml:2: n: \"8\" is not allowed"),
      ("variants: full\nn: 8\ncausal: 'true'\n", "p.yaml:3: causal: \"true\" is not allowed"),
      ("variants: full\nn: 8\nseed: '1'\n", "p.yaml:3: seed: \"1\" is not allowed"),
      ("variants: full\nn: 8\nthreads: '2'\n", "p.yaml:3: threads: \"2\" is not allowed"),
      ("n: 8\nvariants: [sliding-window: {left: '8'}]\n", "left: \"8\" is not allowed"),
      ("variants: full\nn: ['8', {a: \"b\"}]\n", "p.yaml:2: n: \"8\" is not allowed"),
      ("variants: full\nn: 1.5e0\n", "p.yaml:2: n: 1.5e0 is not allowed"),
      ("variants: full\nn: 1e19\n", "p.yaml:2: n: 1e19 is not allowed"),
    ])
  func quotes(yaml: String, line: String) {
    #expect(performing: { try Self.preset(yaml).cells() }, throws: { "\($0)".contains(line) })
  }

  @Test(
    "anchors, aliases and merge keys: own keys win, then the first merged mapping; places are where a value is written"
  )
  func merging() throws {
    let preset = try Self.preset(
      """
      experiments:
        - &base {name: a, n: 64, variants: [full], heads: 2}
        - <<: *base
          name: b
          n: &long [128, 256]
        - <<: [{batch: 3, heads: 4}, *base]
          name: c
          n: *long
        - {"<<": 1, name: d}
      """.replacingOccurrences(of: "  - {\"<<\": 1, name: d}", with: ""))
    let cells = try preset.cells()
    #expect(cells.map(\.experiment) == ["a", "b", "b", "c", "c"])
    #expect(cells.map(\.keyLength) == [64, 128, 256, 128, 256])
    #expect(cells.map(\.heads) == [2, 2, 2, 4, 4] && cells.map(\.batch) == [1, 1, 1, 3, 3])
    #expect(try Self.node("'<<': {a: 1}\n")?.entries?.map(\.key) == ["<<"], "a quoted key is a word")
    for (yaml, line) in [
      ("a: 1\n<<: 2\n", "p.yaml:2: <<: 2 is not allowed; it takes a mapping, or a list of them"),
      ("a: 1\n\"a\": 2\n", "appears twice"), ("1: 1\n'1': 2\n", "p.yaml:2: key 1 appears twice"),
      ("a: *b\n", "not valid YAML"), ("[a]: 1\n", "p.yaml:1: a key must be a word"),
    ] {
      #expect(performing: { try Self.node(yaml) }, throws: { "\($0)".contains(line) })
    }
  }

  @Test(
    "a few lines that stand for 10⁹ values are refused, and so is what is nested without end",
    .timeLimit(.minutes(BodyTime.hangLimit)))
  func bombs() throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 60) }
    func level(_ number: Int, _ open: String, _ close: String) -> String {
      "a\(number): &a\(number) \(open)"
        + Array(repeating: "*a\(number - 1)", count: 9).joined(separator: ", ") + close
    }
    let lists = ["a0: &a0 [x]"] + (1...9).map { level($0, "[", "]") }
    let keys = ["a0: &a0 [x]"] + (1...9).map { level($0, "[", "]") } + ["? *a9", ": 1"]
    for (yaml, part) in [
      (lists.joined(separator: "\n"), "the aliases repeat more than"),
      (keys.joined(separator: "\n"), "a key must be a word"),
      (lists.joined(separator: "\n") + "\nb: {[*a9, *a9]: 1}", "a key must be a word"),
      (String(repeating: "[", count: 100) + String(repeating: "]", count: 100), "more than 64 levels"),
      (String(repeating: "[", count: 100_000), "p.yaml:1: "),
      (String(repeating: "- ", count: 100_000), "p.yaml:1: "),
    ] {
      #expect(performing: { try Self.node(yaml) }, throws: { "\($0)".contains(part) })
    }
    // What is used twenty times is a preset like any other.
    let shared =
      "- &b {name: e, n: 64, variants: [full]}\n" + (0..<60).map { "- {<<: *b, name: e\($0)}\n" }.joined()
    #expect(try Self.preset("experiments:\n" + shared).cells().count == 61)
  }

  @Test("the text that is kept is the file's, also when its last line has no end")
  func keptText() throws {
    let yaml = "title: \"a 'b'\"\nvariants: full\nn: 8"
    #expect(try Self.preset(yaml).source == yaml)
    #expect(try Self.preset(yaml, sets: ["n=16"]).source == yaml + "\n# --set n=16\n")
  }

  private static let whole = [
    """
    title: "x"
    memory_limit: 8GiB
    time_limit: 60s
    n: [64, 256]
    key_length: 256
    batch: 2
    heads: 4
    key_heads: 2
    head_dim: 16
    value_dim: 8
    threads: 2
    seed: [1, 2]
    warmup: 1
    repeats: 5
    budget: 10s
    variants:
      - full
      - sliding-window: {left: 8, right: 0, dilation: 2, sinks: 1}
      - random-sparse: {block_size: 16, random_blocks: 1}
      - lsh: {buckets: 8, hashes: 2}
      - chunked: {chunk: 16}
    """,
    """
    experiment: training
    task: {id: mqar, pairs: 2}
    model: {width: 8, layers: 1, heads: 1, attention: "sliding-window(left=8)", dropout: 0.1, hidden: 16}
    training: {steps: 2, batch: 2, learning_rate: 3e-3, clip: 1.0, evaluate_every: 1, decay_every: 3}
    seed: [1, 2]
    compute: 1e9
    """,
  ]

  @Test(
    "every number of a preset at its extremes: cells or one line", .timeLimit(.minutes(BodyTime.hangLimit)),
    arguments: [0, 1])
  func extremes(index: Int) throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 120) }
    for (extreme, yaml) in Mutator.everyNumberExtreme(in: Self.whole[index]) {
      expectCellsOrLine(yaml, "\(extreme) in\n\(yaml)")
    }
  }

  @Test("1500 mutated presets: cells or one line", .timeLimit(.minutes(BodyTime.hangLimit)))
  func mutations() throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 120) }
    var mutator = Mutator(seed: 46)
    let whole =
      Self.whole + [
        "a: &a {b: [1, 2]}\nc: {<<: *a, d: 'x'}\nexperiments: [*a, {name: b, n: 8, variants: full}]\n"
      ]
    for number in 0..<1500 {
      let yaml = String(decoding: mutator.mutate(Array(whole[number % whole.count].utf8)), as: UTF8.self)
      expectCellsOrLine(yaml, "mutation \(number) of seed 46")
    }
  }

  private func expectCellsOrLine(_ yaml: String, _ what: String) {
    do {
      let preset = try Self.preset(yaml)
      _ = (try preset.cells().count, preset.trainings.count)
    } catch {
      #expect(!error.description.isEmpty, "\(what)")
    }
  }
}
