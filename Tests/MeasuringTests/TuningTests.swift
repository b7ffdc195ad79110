import Attention
import AttentionCore
import Basics
import Tensors
import Testing

@testable import Measuring

/// What `attnlab bench --tune` takes, of times that are given instead of measured.
@Suite struct TuningTests {
  @Test("a value is taken when it is faster by more than the spread, and only then")
  func taken() {
    let now = [10.0, 11, 10, 12, 10]
    #expect(Tuning.taken([now, [5, 5.5, 5, 6, 5]]) == 1)
    // Faster on the mean, but not in four rounds of five.
    #expect(Tuning.taken([now, [8, 11.2, 8, 12.3, 8]]) == 0)
    // Always faster, by less than a second run would find otherwise.
    #expect(Tuning.taken([now, now.map { 0.995 * $0 }]) == 0)
    // Other work slows a whole round: ratios do not see it.
    #expect(Tuning.taken([[10, 100, 10, 50, 10], [9, 90, 9, 45, 9]]) == 1)
    #expect(Tuning.taken([now, now.map { 0.9 * $0 }, now.map { 0.8 * $0 }, now.map { 1.2 * $0 }]) == 2)
    #expect(Tuning.taken([now]) == 0)
  }

  @Test("probes follow one another, each with what was taken before it")
  func order() throws {
    var choices = ProcessorChoices.assumed
    let split = try #require(ProcessorChoice.named("split_keys")),
      rows = try #require(ProcessorChoice.named("product_rows"))
    func probe(_ choice: ProcessorChoice, _ values: [Int]) -> (ProcessorChoices) -> TuningProbe {
      { choices in
        TuningProbe(
          name: choice.name, unit: choice.unit, work: "\(choices.splitKeys)",
          candidates: ([choices[choice]] + values).map { TuningCandidate(choice, $0) }
        ) { own in
          #expect(ProcessorChoices.current == own)
          return {}
        }
      }
    }
    var noted: [String] = []
    let findings = try Tuning.run(
      [probe(split, [4096, 8192]), probe(rows, [48]), probe(rows, [])], choices: &choices, rounds: 5,
      time: { probe, index, _ in probe.name == "split_keys" ? [3, 2, 1][index] : [1, 2][index] },
      note: { noted.append($0) })
    #expect(choices.splitKeys == 8192 && choices.productRows == 96)
    #expect(findings.map(\.taken) == [2, 0] && findings.map(\.isChanged) == [true, false])
    #expect(findings[0].seconds == [[3, 3, 3, 3, 3], [2, 2, 2, 2, 2], [1, 1, 1, 1, 1]])
    #expect(noted == ["split_keys: 2048", "product_rows: 8192"])
  }

  @Test(
    "every probe of the standard catalogue has other values than the one in force, and its work can be done")
  func probes() throws {
    let choices = ProcessorChoices(derivedFor: .here())
    let probes = Tuning.probes(.standard, threads: 2).map { $0(choices) }
    #expect(probes.count >= 12 && Set(probes.map(\.name)).count == probes.count)
    for probe in probes {
      #expect(probe.candidates.count >= 2, "\(probe.name)")
      #expect(Set(probe.candidates.map(\.text)).count == probe.candidates.count, "\(probe.name)")
    }
    for probe in probes
    where ["product_rows", "parallel_weights", "band_rows", "band_backward_rows"].contains(probe.name) {
      for candidate in probe.candidates {
        var own = choices
        candidate.apply(&own)
        try ProcessorChoices.$override.withValue(own) { try probe.prepare(own) }()
      }
    }
  }

  @Test("the tiles of a probe are those of its choices, there and back", arguments: [false, true])
  func tiles(isBackward: Bool) throws {
    let shape = try AttentionShape(queryLength: 512, headDim: 8)
    let bytes = try [16, 32, 64].map { rows in
      var choices = ProcessorChoices.assumed
      (choices.bandRows, choices.bandBackwardRows) = isBackward ? (64, rows) : (rows, 64)
      var context = ExecutionContext(threads: 1)
      context.choices = choices
      let made = try ProcessorChoices.$override.withValue(choices) {
        try ProbePasses(catalog: .standard).planned(
          "sliding-window", ProbePasses.window(64), shape, isBackward: isBackward, in: context)
      }
      return made.planBytes
    }
    #expect(bytes[0] > bytes[1] && bytes[1] > bytes[2])
  }

  @Test("without the variants, what is left are products")
  func noVariants() {
    let names = Tuning.probes(Catalog([]), threads: 1).map { $0(.assumed).name }
    #expect(names == ["product_depth", "product_rows", "page_rows", "place_distances"])
  }
}
