import Attention
import AttentionCore
import Basics
import Presets
import Formulas
import Settings
import Tensors

/// Formulas, filters, lines of attention and expressions of `custom`.
extension FuzzReader {
  private static let columns = ["N", "D", "loss", "Time (ms)", "variant"]

  /// Formulas of laws: read, and worked out at a point.
  static let formula = FuzzReader(
    text: "formula",
    [
      "E + A/N^alpha + B/D^beta", "loss = E + (A/N)**alpha * exp(-B*D) + {Time (ms)}", "a*N^b + c",
      "log(a + abs(N)) - sqrt(max(D, 1)) / [1 + min(N, 2.5e3)]", "c0 - -c1*N^-b^2", "pi * sin(a*N) + tanh(b)",
    ]
  ) { text in
    _ = try read { try FormulaForm(text, columns: columns) }
    guard let law = try read({ try FormulaExpression(parsing: text) }) else { return }
    _ = law.value { Double($0.utf8.count) }
  }

  /// Row filters and definitions of columns.
  static let filter = FuzzReader(
    text: "filter",
    ["N > 100 && variant == 'full'", "!(D <= 1e9) || {Time (ms)} != 3", "log2(N) >= 3 && loss < 2.5"]
  ) { text in
    guard let filter = try read({ try FormulaExpression(filtering: text, columns: columns) }) else { return }
    _ = filter.names
  }

  /// Lines of attention: layers whose description is read as the same, and settings that variants take or refuse.
  static let attention = FuzzReader(
    text: "attention",
    [
      "sliding-window(left=63, sinks=2) x3, full",
      "local-global(global_positions=[0 5], left=8), lsh(buckets=16)",
      "custom(expression=\"i - j < 4 || j % 3 == 0\") x2, custom(expression=min(i, j) < 3)", "full x1000",
      "graph, chunked(chunk=0x10, circular=true), top-k(k=3), sliding-window(left=[1, 2], right=0)",
    ]
  ) { line in
    guard let layers = try read({ try LayerAttention.parse(line) }) else { return }
    for layer in Set(layers) {
      let again = try read { try LayerAttention.parse("\(layer)") }
      // Names of no variant or setting, and text with both kinds of quotes, have no way to be written.
      let names = [layer.id] + layer.settings.keys
      let isWritable =
        names.allSatisfy { $0.allSatisfy { $0.isLetter || $0.isNumber || "-_".contains($0) } }
        && !layer.settings.values.contains { "\($0)".contains("\"") && "\($0)".contains("'") }
      try expect(!isWritable || again == [layer], "\(shown("\(layer)")) is not read as it was written")
      _ = try read { try VariantDescription(Catalog.standard.type(of: layer.id)).check(layer.settings) }
    }
  }

  /// Expressions of `custom`: refused, or pairs that tiles and definition agree on.
  static let expression = FuzzReader(
    text: "expression",
    [
      "i - j < 10 || j % 3 == 0", "abs(i - j) <= 5 && (i - j) % 2 == 0",
      "2 * (i / 4 == j / 4) + (j == n - 1)",
      "0 <= i - j < 3 * (h + 1)", "j == 0 || i % j == 0", "!(i < j) && max(i, j, 2) != min(7, n // 2)",
      "0 < (0 < (0 < i < 9) < 9) < 9",
    ]
  ) { text in
    let settings: [String: ParameterValue] = ["expression": .string(text)]
    for isCausal in [false, true] {
      let shape = try AttentionShape(
        queryHeads: 2, queryLength: 9, keyLength: 11, headDim: 1, isCausal: isCausal)
      let made = try read {
        try CustomAttention.make(settings: settings, shape: shape, key: RandomKey(seed: 1))
      }
      guard let made else { continue }
      for head in 0..<2 {
        var counts = [Int](repeating: 0, count: 99)
        made.pattern.list(batch: 0, head: head).forEachPair(queryOffset: shape.queryOffset) {
          counts[$0 * 11 + $1] += 1
        }
        for place in 0..<99 {
          let defined = made.multiplicity(batch: 0, head: head, query: place / 11, key: place % 11)
          try expect(
            counts[place] == defined,
            "pair (\(place / 11), \(place % 11)): \(counts[place]), defined \(defined)")
        }
      }
    }
  }
}
