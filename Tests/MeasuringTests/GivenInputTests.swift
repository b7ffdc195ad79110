import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Models
import Pretrained
import Settings
import Tensors
import Testing

@testable import Measuring
@testable import Presets
@testable import Records

/// Inputs that a user or a trained model gives, and the share of weights that a pattern keeps of them.
@Suite struct GivenInputTests {
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  @Test(
    "a source is read as it is written",
    arguments: [
      "gaussian", "text", "text:a,b", "npy:q.npy,k.npy,v.npy", "checkpoint:m,layer=2",
      "checkpoint:m,layer=0,text=a,b.txt", "checkpoint:m,layer=0,tokens=t.npy",
    ])
  func spelling(_ text: String) {
    #expect(InputSource(text)?.description == text)
  }

  @Test(
    "what is no source is refused",
    arguments: [
      "npy:a,b", "npy:a,,c", "checkpoint:m", "checkpoint:,layer=0", "checkpoint:m,layer=x", "text:",
    ])
  func refused(_ text: String) { #expect(InputSource(text) == nil) }

  @Test("presets name arrays and models relative to their folder")
  func presets() throws {
    func source(_ input: String) throws -> InputSource? {
      try Preset(
        yaml: "n: 8\nvariants: full\ninput: \(input)\n", file: "some/p.yaml", catalog: .standard,
        kinds: .standard
      ).cells(of: MeasurementExperiment.self).first?.input
    }
    #expect(
      try source("{npy: {q: a.npy, k: /b.npy, v: c.npy}}")
        == .arrays(query: "some/a.npy", key: "/b.npy", value: "some/c.npy"))
    #expect(
      try source("{checkpoint: runs/m, layer: 3, text: notes.txt}")?.description
        == "checkpoint:some/runs/m,layer=3,text=some/notes.txt")
    for wrong in [
      "{npy: {q: a, k: b}}", "{checkpoint: m, text: a, tokens: b}", "{checkpoint: m, layr: 1}", "{npy: x}",
    ] { #expect(throws: UsageError.self, "\(wrong)") { try source(wrong) } }
  }

  @Test("a shape takes the first sequences, heads and rows of arrays, and the last queries of a causal one")
  func arrays() throws {
    let values = try Tensor.normal([2, 3, 10, 4], key: RandomKey(seed: 3))
    for name in ["q", "k", "v"] { try NpyArray(values).write(to: scratch("\(name).npy")) }
    let source = InputSource.arrays(query: scratch("q.npy"), key: scratch("k.npy"), value: scratch("v.npy"))
    let maker = try InputMaker(source, seed: 1, limit: 1)
    let shape = try AttentionShape(
      batch: 1, queryHeads: 2, queryLength: 3, keyLength: 7, headDim: 4, isCausal: true)
    let inputs = try maker.make(shape, ledger: nil)
    let all: [Float] = values.array()
    func expected(_ rows: Range<Int>) -> [Float] {
      var found: [Float] = []
      for head in 0..<2 {
        for row in rows {
          let start = (head * 10 + row) * 4
          found += all[start..<start + 4]
        }
      }
      return found
    }
    #expect(inputs.query.array() == expected(4..<7) && inputs.key.array() == expected(0..<7))
    let larger = try AttentionShape(queryLength: 11, headDim: 4),
      wider = try AttentionShape(queryLength: 4, headDim: 8)
    for shape in [larger, wider] {
      #expect(throws: ConfigurationError.self) { try maker.make(shape, ledger: nil) }
    }
  }

  private func measured(_ cell: Cell) -> MeasurementRow {
    var measurement = Measurement(cell, catalog: .standard)
    measurement.isChecked = true
    return measurement.run()
  }

  @Test(
    "q, k and v of a trained model's layer give the layer's own output, and its pattern keeps all of itself")
  func checkpoint() throws {
    let configuration = try ModelConfiguration(
      settings: [
        "vocabulary": .int(256), "width": .int(8), "layers": .int(2), "heads": .int(2), "hidden": .int(8),
        "maximum_length": .int(16), "position": .string("rope"),
        "attention": .string("full, sliding-window(left=2)"),
      ], in: .standard)
    let model = try TransformerModel(configuration, catalog: .standard)
    try model.save(to: scratch("model.safetensors"))
    let text = try scratch.write("t.txt", "What is read, is read by a model of bytes.")
    var cell = Cell(variant: "sliding-window", queryLength: 8)
    (cell.settings, cell.batch, cell.heads, cell.keyHeads) = (["left": .int(2)], 2, 2, 2)
    (cell.headDim, cell.valueDim, cell.isCausal, cell.threads, cell.repeats) = (4, 4, true, 1, 1)
    cell.instructionSet = "portable"
    cell.input = .checkpoint(
      CheckpointSource(model: scratch("model.safetensors"), layer: 1, reading: .text, path: text))
    let row = measured(cell)
    #expect(row.status == .ok, "\(row.reason)")
    let heard = try PretrainedModel(contentsOf: scratch("model.safetensors"), catalog: .standard).attention(
      ModelInput(batch: 2, tokens: Array("What is read, is".utf8.map { Int32($0) })))
    let own = try SampledRows(heard[1].inputs, cell.shape(), key: RandomKey(seed: 1))
    let definition = try heard[1].variant.definition(of: heard[1].inputs)
    // All 32 rows are in the sample.
    let kept = try #require(own.keptMass(by: definition))
    #expect(abs((row.keptMass ?? 0) - kept) < 1e-9 && kept > 0.2 && kept < 0.999)
    #expect(abs((own.keptMass(by: own.full) ?? 0) - 1) < 1e-12)

    cell.input = .checkpoint(
      CheckpointSource(model: scratch("model.safetensors"), layer: 2, reading: .text, path: text))
    let beyond = measured(cell)
    #expect(
      beyond.status == .unsupported && beyond.reason.contains("a number from 0 to 1"), "\(beyond.reason)")
    (cell.headDim, cell.input) = (
      8,
      .checkpoint(CheckpointSource(model: scratch("model.safetensors"), layer: 1, reading: .text, path: text))
    )
    let wide = measured(cell)
    #expect(wide.status == .unsupported && wide.reason.contains("of width 8"), "\(wide.reason)")
  }
}
