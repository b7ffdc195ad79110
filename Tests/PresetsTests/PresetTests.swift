import Attention
import AttentionCore
import Basics
import Foundation
import Measuring
import Presets
import Records
import Settings
import Testing
import Trainings

@Suite struct PresetTests {
  private static func preset(_ yaml: String, sets: [String] = []) throws(UsageError) -> Preset {
    try Preset(yaml: yaml, file: "p.yaml", sets: sets, catalog: .standard, kinds: .standard)
  }

  @Test func listsThatMakeTooManyCellsAreRefused() throws {
    let list = (1...1100).map { "\($0)" }.joined(separator: ", ")
    let preset = try Preset(
      yaml: "variants: [full]\nn: [\(list)]\nbatch: [\(list)]\n", file: "p.yaml", catalog: .standard,
      kinds: .standard)
    let error = #expect(throws: UsageError.self) { try preset.cells() }
    #expect(error?.description.contains("cells; at most 1000000") == true, "\(String(describing: error))")
  }

  @Test func aByteOrderMarkIsNoPartOfAPreset() throws {
    let preset = try Preset(
      yaml: "\u{FEFF}variants: [full]\nn: 8\n", file: "p.yaml", catalog: .standard, kinds: .standard)
    #expect(try preset.cells().count == 1)
  }

  @Test(arguments: [("[5 9]", [5, 9]), ("[5, 9]", [5, 9]), ("[7]", [7]), ("[]", []), ("5,9", [5, 9])])
  func listsAreReadAsInALineOfAttention(_ text: String, _ numbers: [Int]) {
    #expect(ParameterValue(parsing: text) == .list(numbers))
  }

  @Test func everyCombinationIsACell() throws {
    let preset = try Self.preset(
      """
      n: [64, 128]
      pass: [forward, decode]
      heads: [2, 4]
      key_heads: 2
      variants:
        - full
        - sliding-window: {left: [8, 16], sinks: 1}
      """)
    let cells = try preset.cells()
    #expect(cells.count == 2 * 2 * 2 * 3)
    #expect(Set(cells.map(\.id)).count == cells.count)
    #expect(cells.filter { $0.pass == .decode }.allSatisfy { $0.queryLength == 1 && $0.isCausal })
    #expect(cells.allSatisfy { $0.keyHeads == 2 && $0.headDim == 64 && $0.valueDim == 64 })
    // Variants follow one another at every length.
    #expect(Array(cells.prefix(3).map(\.variant)) == ["full", "sliding-window", "sliding-window"])
  }

  @Test func aCellKeepsItsNameWhenOthersComeAndGo() throws {
    let few = try Self.preset("n: [64]\nvariants: [full]").cells()
    let many = try Self.preset("n: [32, 64]\nrepeats: 9\nvariants: [chunked, full]").cells()
    #expect(many.map(\.id).contains(few[0].id))
    let other = try Self.preset("n: [64]\nvariants: [full]\nseed: 2").cells()
    #expect(other[0].id != few[0].id)
  }

  @Test func precisionsOfAVariantFollowOneAnother() throws {
    let cells = try Self.preset("n: [64, 128]\nvariants: [full, chunked]\nprecision: [float32, bfloat16]")
      .cells()
    #expect(cells.prefix(4).map(\.precision) == [.float32, .bfloat16, .float32, .bfloat16])
    #expect(cells.prefix(4).map(\.variant) == ["full", "full", "chunked", "chunked"])
    #expect(Set(cells.map(\.id)).count == 8)
    // Cells of runs from before there was a choice keep their names.
    let plain = try Self.preset("n: 64\nvariants: full").cells()
    #expect(plain[0].id == cells[0].id && plain[0].precision == .float32)
    #expect(cells[1].label == "full forward n=64 bfloat16")
    #expect(try cells[1].shape().precision == .bfloat16)
  }

  @Test func experimentsShareFieldsAndOverrideThem() throws {
    let yaml = """
      n: 64
      variants: [full, chunked]
      experiments:
        - name: short
        - name: long
          n: [128, 256]
          variants: full
      """
    let cells = try Self.preset(yaml).cells()
    #expect(cells.map(\.experiment) == ["short", "short", "long", "long"])
    #expect(cells.map(\.queryLength) == [64, 64, 128, 256])
    // Without an experiment's name a field is set wherever it stands; with one only there.
    #expect(try Self.preset(yaml, sets: ["n=32"]).cells().map(\.queryLength) == [32, 32, 32])
    #expect(try Self.preset(yaml, sets: ["long.n=32"]).cells().map(\.queryLength) == [64, 64, 32])
  }

  @Test("a field above the experiments is for those whose kind has it; one that none has is refused")
  func sharedFieldsOfOneKind() throws {
    let yaml = """
      warmup: 2
      seed: 3
      experiments:
        - {name: timed, variants: full, n: 8}
        - {name: trained, experiment: training, task: {id: markov, length: 8}}
      """
    let preset = try Self.preset(yaml)
    #expect(try preset.cells().map(\.warmup) == [2] && preset.cells().map(\.seed) == [3])
    #expect(preset.trainings.map(\.seed) == [3])
    for (wrong, place) in [("warmupp: 2", "p.yaml:1"), ("hidden: 2", "p.yaml:1")] {
      let error = #expect(throws: UsageError.self) {
        try Self.preset(yaml.replacing("warmup: 2", with: wrong))
      }
      #expect(error?.description.hasPrefix("\(place): unknown field ") == true, "\(error?.description ?? "")")
    }
    // An experiment's own field is of its own kind.
    let own = yaml.replacing("length: 8}}", with: "length: 8}, warmup: 1}")
    let error = #expect(throws: UsageError.self) { try Self.preset(own) }
    #expect(error?.description.contains("unknown field warmup") == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [
    (["n=[8, 16]"], "n", "8,16"), (["variants.sliding-window.left=[1, 2]"], "left", "1,2"),
    (["variants.full.left=3"], "error", "p.yaml"), (["input.text=notes.txt"], "input", "text:notes.txt"),
    (["seed=7"], "seed", "7"),
  ])
  func setChangesAnyField(sets: [String], field: String, expected: String) throws {
    let yaml = "n: 64\ninput: gaussian\nvariants: [full, sliding-window]"
    if field == "error" {
      let error = #expect(throws: UsageError.self) { try Self.preset(yaml, sets: sets) }
      #expect(
        error?.description.hasPrefix("--set variants.full.left=3: full: left: an unknown parameter") == true)
      return
    }
    let cells = try Self.preset(yaml, sets: sets).cells()
    let windows = cells.filter { $0.variant == "sliding-window" }
    let found =
      switch field {
      case "n": windows.map { "\($0.queryLength)" }
      case "left": windows.compactMap { $0.settings["left"]?.description }
      case "input": windows.map(\.input.description)
      default: windows.map { "\($0.seed)" }
      }
    #expect(found.joined(separator: ",") == expected)
  }

  @Test func pathsInAPresetAreRelativeToIt() throws {
    let preset = try Preset(
      yaml: "n: 8\nvariants: full\ninput: {text: notes.txt}", file: "some/where/p.yaml", catalog: .standard,
      kinds: .standard)
    #expect(try preset.cells()[0].input == .text(path: "some/where/notes.txt"))
  }

  @Test(arguments: [
    ("", "p.yaml: the preset is empty; see Experiments/README.md for what it takes"),
    ("# nothing\n", "p.yaml: the preset is empty; see Experiments/README.md for what it takes"),
    ("n: 8\nvariant: full\n", "p.yaml:2: unknown field variant; known are "),
    (
      "variants: full\nn: [8, 0]\n",
      "p.yaml:2: n: 0 is not allowed; it takes a whole number from 1 to 1073741824"
    ),
    ("variants: full\nn: many\n", "p.yaml:2: n: many is not allowed; it takes a whole number from 1 to"),
    ("variants: full\nn: 8.5\n", "p.yaml:2: n: 8.5 is not allowed; it takes a whole number from 1 to"),
    ("variants: full\nn: \"8\"\n", "p.yaml:2: n: \"8\" is not allowed; it takes a whole number from 1 to"),
    ("variants: full\nn: [8, 8]\n", "p.yaml:2: n: 8 appears twice"),
    ("variants: full\nn: []\n", "p.yaml:2: n: an empty list; it takes a whole number"),
    ("variants: full\n", "p.yaml:1: n is missing; it takes a whole number or a list of them"),
    ("n: 8\n", "p.yaml:1: variants is missing; it takes a list of full, "),
    (
      "n: 8\nvariants: [full, slidng-window]\n",
      "p.yaml:2: there is no variant slidng-window; it takes one of full, "
    ),
    ("n: 8\nvariants: [full, full]\n", "p.yaml:2: variants: full appears twice with the same settings"),
    (
      "n: 8\nvariants:\n  - sliding-window: {lft: 3}\n",
      "p.yaml:3: sliding-window: lft: an unknown parameter is not allowed; it takes left, right, dilation, sinks, score, untie, clamp_length, bias, bias_buckets, bias_distance, sink, softcap (did you mean left?)"
    ),
    (
      "n: 8\nvariants:\n  - sliding-window:\n      left: -1\n",
      "p.yaml:4: sliding-window: left: -1 is not allowed; it takes "
    ),
    (
      "n: 8\nvariants:\n  - sliding-window: 5\n",
      "p.yaml:3: sliding-window: 5 is not allowed; it takes settings such as"
    ),
    ("n: 8\nn: 9\nvariants: full\n", "p.yaml:1: key n appears twice"),
    ("n: 8\nvariants:\n\t- full\n", "p.yaml:3: a tab indents this line; YAML is indented with spaces"),
    ("n: [8\nvariants: full\n", "p.yaml:2: not valid YAML: "),
    (
      "n: 8\nvariants: full\npass: foward\n",
      "p.yaml:3: pass: foward is not allowed; it takes one of forward, backward, decode (did you mean forward?)"
    ),
    (
      "n: 8\nvariants: full\ncausal: maybe\n",
      "p.yaml:3: causal: maybe is not allowed; it takes true or false"
    ),
    (
      "n: 8\nvariants: full\ntime_limit: 60\n",
      "p.yaml:3: time_limit: 60 is not allowed; it takes a time such as"
    ),
    (
      "n: 8\nvariants: full\nmemory_limit: lots\n",
      "p.yaml:3: memory_limit: lots is not allowed; it takes a size such as"
    ),
    (
      "n: 8\nvariants: full\ninput: {txt: a}\n",
      "p.yaml:3: unknown field txt; known are checkpoint, npy, text"
    ),
    (
      "n: 8\nvariants: full\nthreads: none\n",
      "p.yaml:3: threads: none is not allowed; it takes all or a whole number"
    ),
    ("- full\n", "p.yaml:1: [full] stands where fields (name: value) are expected"),
    (
      "experiments: 3\n", "p.yaml:1: experiments: 3 is not allowed; it takes a list of experiments with names"
    ),
    ("experiments:\n  - n: 8\n", "p.yaml:2: an experiment needs a name"),
    (
      "n: 8\nvariants: full\nexperiments:\n  - name: a\n  - name: a\n",
      "p.yaml:5: two experiments are named a"
    ),
    (
      "n: 8\nvariants: full\nexperiments:\n  - name: a\n    experiment: measuremnt\n",
      "p.yaml:5: experiment: measuremnt is not allowed; it takes one of "
    ),
  ])
  func aMistakeIsNamedWithItsLine(yaml: String, beginning: String) {
    let error = #expect(throws: UsageError.self) { try Self.preset(yaml) }
    #expect(error?.description.hasPrefix(beginning) == true, "\(error?.description ?? "no error")")
    #expect(error?.description.contains("\n") == false)
  }

  @Test func keyHeadsMustDivideHeads() throws {
    let preset = try Self.preset("n: 8\nvariants: full\nheads: 4\nkey_heads: 3\n")
    #expect(throws: UsageError("experiment p: key_heads 3 is no divisor of heads 4")) { try preset.cells() }
  }

  @Test(arguments: ["quickstart", "scaling-time-memory"])
  func ourOwnPresetsAreValid(name: String) throws {
    let file = try #require(
      FileManager.default.contents(atPath: "Experiments/\(name).yaml"), "tests run in the package's folder")
    let preset = try Preset(
      yaml: String(decoding: file, as: UTF8.self), file: "Experiments/\(name).yaml", catalog: .standard,
      kinds: .standard)
    let cells = try preset.cells()
    // Those that came later stand beside these in `variants`.
    #expect(
      Set(cells.map(\.variant)) == [
        "full", "full-materialized", "sliding-window", "local-global", "random-sparse", "lsh", "chunked",
      ])
    #expect(Set(cells.map(\.queryLength)).count >= 6)
    #expect(Set(cells.map(\.pass)) == [.forward, .backward])
    #expect(!preset.title.isEmpty && !preset.question.isEmpty)
    #expect(cells.allSatisfy { $0.input == .text(path: nil) })
  }

  @Test(
    "the program carries every preset of Experiments (a link in Sources/Presets/Embedded, a line in EmbeddedPresets)"
  )
  func embedded() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: "Experiments")
      .filter { $0.hasSuffix(".yaml") }.map(PresetFinder.name(of:))
    #expect(EmbeddedPresets.names == names.sorted())
    for name in names {
      let text = try String(contentsOfFile: "Experiments/\(name).yaml", encoding: .utf8)
      #expect(EmbeddedPresets.text(of: EmbeddedPresets.file(name)) == text, "\(name)")
    }
    let preset = try Preset(
      file: EmbeddedPresets.file("quickstart"), catalog: .standard, kinds: .standard)
    #expect(preset.name == "quickstart")
    #expect(EmbeddedPresets.text(of: "Experiments/quickstart.yaml") == nil)
  }

  @Test("one preset has every variant side by side, on the shapes of quickstart and with its settings")
  func everyVariant() throws {
    func cells(_ name: String) throws -> [Cell] {
      try Preset(file: "Experiments/\(name).yaml", catalog: .standard, kinds: .standard).cells()
    }
    let all = try cells("variants"), first = try cells("quickstart")
    #expect(Set(all.map(\.variant)) == Set(Catalog.standard.ids))
    #expect(Set(all.map(\.queryLength)).isSubset(of: first.map(\.queryLength)))
    #expect(all.map(\.queryLength).max() == first.map(\.queryLength).max())
    for cell in all where !cell.isCausal {
      guard var twin = first.first(where: { $0.variant == cell.variant }) else { continue }
      (twin.queryLength, twin.keyLength, twin.pass) = (cell.queryLength, cell.keyLength, cell.pass)
      (twin.experiment, twin.preset) = (cell.experiment, cell.preset)
      #expect(twin.id == cell.id)
    }
    for pass in [PassKind.forward, .backward] {
      for length in Set(all.map(\.queryLength)) {
        let row = all.filter { $0.pass == pass && $0.queryLength == length && !$0.isCausal }
        // A state that fades, and blocks that lie in the past, are causal: they stand beside full attention that is.
        let twoWays = try AttentionShape(queryHeads: 2, queryLength: 64, headDim: 64)
        let others = try Set(Catalog.standard.ids).filter { id in
          let type = try Catalog.standard.type(of: id)
          return (try? type.make(settings: [:], shape: twoWays, key: RandomKey(seed: 0))) != nil
        }
        #expect(Set(row.map(\.variant)) == others)
      }
    }
  }
}
