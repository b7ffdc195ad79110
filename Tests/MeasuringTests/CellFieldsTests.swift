import Attention
import Basics
import Testing

@testable import Measuring
@testable import Presets
@testable import Records

/// The fields of a cell and what derives from them.
@Suite struct CellFieldsTests {
  @Test("a cell survives its way to a process, whatever it is")
  func cellsTravelAsJSON() throws {
    let yaml = """
      name: all
      n: 64
      key_length: 128
      batch: 3
      heads: 4
      key_heads: 2
      head_dim: 32
      value_dim: 16
      causal: true
      threads: 1
      ranks: 2
      isa: portable
      precision: bfloat16
      seed: 18446744073709551615
      input: {text: "odd \\"name\\"; é.txt"}
      budget: 123456789us
      warmup: 0
      repeats: 7
      quiet: 0.5
      variants: [full, {sliding-window: {left: 3, right: 1}}, {lsh: {hashes: 2, shared_query_key: false}}]
      """.replacing("123456789us", with: "0.123456789s")
    for cell in try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).cells() {
      var request = CellRequest(cell, memoryLimit: 1 << 40)
      (request.peakGflops, request.isChecked) = (0.1 + 0.2, true)
      #expect(try CellRequest(json: request.json.compact) == request)
      // Every field differs from its default: none is forgotten on the way.
      let same = Cell.schema.filter { $0.text(cell) == $0.text(Cell()) }.map(\.name)
      #expect(
        Set(same).isSubset(of: cell.variant == "full" ? ["configuration", "pass"] : ["pass"]), "\(same)")
    }
  }

  @Test(
    "a request that is none is refused in one line",
    arguments: [
      "", "[]", "{}", "{\"cell\": 3, \"memory_limit_bytes\": 1}",
      "{\"cell\": {\"batch\": 0}, \"memory_limit_bytes\": 1}",
      "{\"cell\": {\"query_length\": 1e30}, \"memory_limit_bytes\": 1}",
      "{\"cell\": {\"configuration\": {\"left\": null}}, \"memory_limit_bytes\": 1}",
    ])
  func badRequests(_ text: String) {
    let error = #expect(throws: UsageError.self) { try CellRequest(json: text) }
    #expect(error?.description.hasPrefix("cell: ") == true && error?.description.contains("\n") == false)
  }

  @Test("presets, flags and columns of a cell are one declaration")
  func keysAndFlags() {
    let keys = Cell.schema.compactMap(\.key)
    #expect(Set(keys).count == keys.count)
    #expect(
      keys.allSatisfy {
        MeasurementPlan.nesting.contains($0) || ["warmup", "repeats", "budget", "quiet"].contains($0)
      })
    // What a cell is, its row says under the same name.
    for field in Cell.identity { #expect(MeasurementRow.columns.contains(field.name), "\(field.name)") }
    for key in keys {
      #expect(!Cell.help(key.replacing("_", with: "-")).isEmpty)
    }
  }
}
