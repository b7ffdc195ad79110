import ArgumentParser
import ArrayFiles
import Attention
import AttentionCore
import Basics
import Commands
import Foundation
import Measuring
import Pages
import Settings
import Tensors

/// `attnlab mask`: the pattern of a variant as a picture or an array.
struct MaskCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "mask",
    abstract: "Show which keys a variant's queries see: in the terminal, or as .svg, .png or .npy.",
    discussion: HelpText.page(
      """
      An .npy is uint8 [heads, n, keys]: how often each pair counts. attnlab apply with the same settings and seed
      computes over exactly this pattern. A pattern that depends on the data needs --q (and --k).
      """,
      examples: [
        "attnlab mask sliding-window --causal",
        "attnlab mask sliding-window --n 48 --causal --set left=8 --set sinks=2",
        "attnlab mask random-sparse --n 1024 --heads 4 --out pattern.svg",
        "attnlab mask lsh --q q.npy --set buckets=16 --out pattern.npy",
        "attnlab mask graph --n 34 --in edges=friends.csv --out pattern.svg",
      ]))

  @Argument(help: "The variant; see attnlab list.", completion: .variants)
  var variant: String

  @Option(help: "Rows of q; with --q those of the array. Default: as many as show the pattern.")
  var n: Int?

  @Option(help: "Rows of k. Default: n.")
  var keyLength: Int?

  @Option(help: "Heads: a random pattern differs from head to head.")
  var heads = 1

  @Flag(help: "A query sees only its past; the last query is aligned with the last key.")
  var causal = false

  @Option(
    name: .customLong("set"), help: "A setting of the variant, name=value; may be repeated.",
    completion: .settings)
  var sets: [String] = []

  @Option(help: "q, [batch, heads, n, d], for a pattern that depends on the data.")
  var q: String?

  @Option(help: "k, [batch, key heads, keys, d], likewise.")
  var k: String?

  @Option(
    name: .customLong("in"),
    help: "Another operand of the variant, NAME=file.npy, likewise; may be repeated.")
  var inputs: [String] = []

  @Option(help: "The seed of the variant's own draws; attnlab apply takes the same.")
  var seed: UInt64 = 1

  @Option(help: "The head to draw.")
  var head = 0

  @Option(help: "A file ending in .svg, .png or .npy. Default: the terminal.")
  var out: String?

  @Flag(help: "Print the figures as JSON and no picture.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    for path in [q, k] { files.read(path) }
    for pair in inputs { files.read(CommandFiles.path(in: pair)) }
    files.write(out, "--out")
    return files
  }

  func run() throws {
    let type = try Installed.catalog.type(of: variant)
    let settings = try VariantSettings.parse(sets, for: type)
    let kind = try out.map(fileKind)
    let named = try NamedFiles(in: self.inputs, of: type, settings)
    let sample = try self.sample(type, settings)
    let (shape, arrays) = try shapeAndArrays(type, named, sample)
    let attention = try type.make(
      settings: settings, shape: shape, key: VariantSettings.key(seed: seed))
    let inputs = try arrays?.inputs(of: attention, named.inputs) ?? graphs(of: attention, named)
    let total = shape.batch * shape.queryHeads * shape.queryLength * shape.keyLength
    guard total <= PatternCounts.limit else {
      throw UsageError(
        "--n \(shape.queryLength): \(total) pairs are too many to list; it takes up to \(PatternCounts.limit)"
      )
    }
    guard head >= 0, head < shape.queryHeads else {
      let last = shape.queryHeads - 1
      throw UsageError(
        "--head \(head): it takes \(last == 0 ? "0, the only head" : "a head from 0 to \(last)")")
    }
    // What was counted to find the length is not counted again, where it is the whole pattern.
    let isWhole = heads == 1 && inputs == nil
    let counts = try sample.flatMap { isWhole ? $0.counts : nil } ?? PatternCounts(attention, inputs: inputs)
    let picture = PatternPicture(counts: counts, head: head)
    if let out, let kind { try write(counts, picture, kind, to: out, attention) }
    let figures = PatternFigures(attention, counts, inputs: inputs)
    if json {
      print(try figures.json.pretty)
    } else {
      if out == nil { print(picture.terminal()) }
      show(try figures.text)
      if let hint = hint(type, settings, counts, attention.shape) { show(hint) }
      if let out { show("written to \(out)") }
    }
  }

  private func fileKind(_ path: String) throws -> String {
    let kind = URL(fileURLWithPath: path).pathExtension.lowercased()
    guard ["svg", "png", "npy"].contains(kind) else {
      throw UsageError("--out \(path): it takes a name ending in .svg, .png or .npy")
    }
    return kind
  }

  private func shapeAndArrays(
    _ type: any AttentionVariant.Type, _ named: NamedFiles, _ sample: PatternSample?
  ) throws -> (AttentionShape, ArrayInputs?) {
    guard let q else {
      let graphs = named.declared.filter { $0.source == .edges }.map(\.name)
      if let first = named.inputs.first(where: { !graphs.contains($0.name) }) {
        throw UsageError("--in \(first.name): it goes with --q")
      }
      if k != nil { throw UsageError("--k: it goes with --q") }
      if type.card.dependsOnData {
        throw UsageError("--q: the pattern of \(variant) depends on the data; give q (and k) as .npy files")
      }
      guard let n = self.n ?? keyLength ?? sample?.length else {
        throw UsageError("--n: give the number of rows of q")
      }
      let shape = try AttentionShape(
        queryHeads: heads, queryLength: n, keyLength: keyLength, headDim: 1, isCausal: causal)
      return (shape, nil)
    }
    if k == nil, type.card.dependsOnData, named.declared.contains(where: { $0.name == .key }) {
      throw UsageError("--k: the pattern of \(variant) depends on it")
    }
    let arrays = try ArrayInputs(
      query: q, key: k ?? q, value: k ?? q, isCausal: causal, scale: nil, keyLengths: nil)
    for (flag, given, actual) in [
      ("--n", n, arrays.shape.queryLength), ("--key-length", keyLength, arrays.shape.keyLength),
    ] {
      if let given, given != actual { throw UsageError("\(flag) \(given): the arrays have \(actual) rows") }
    }
    return (arrays.shape, arrays)
  }

  /// The pattern at a length at which it can be seen, where nothing says how long it is.
  private func sample(
    _ type: any AttentionVariant.Type, _ settings: [String: ParameterValue]
  ) throws -> PatternSample? {
    guard n == nil, keyLength == nil, q == nil, !type.card.dependsOnData else { return nil }
    let shape = try AttentionShape(queryHeads: heads, queryLength: 1, headDim: 1, isCausal: causal)
    return PatternSample(type, settings: settings, like: shape, key: VariantSettings.key(seed: seed))
  }

  /// Where a given length hides the pattern: which one shows it.
  private func hint(
    _ type: any AttentionVariant.Type, _ settings: [String: ParameterValue], _ counts: PatternCounts,
    _ shape: AttentionShape
  ) -> String? {
    guard q == nil, n != nil, PatternSample.share(of: counts, shape) == 1 else { return nil }
    let shown = PatternSample(
      type, settings: settings, like: shape, key: VariantSettings.key(seed: seed))
    guard let shown, shown.isVisible else { return nil }
    return "every pair counts at this length; --n \(shown.length) shows the pattern"
  }

  /// Given edges decide a pattern alone, whatever the rows are.
  private func graphs(of attention: any AttentionVariant, _ named: NamedFiles) throws -> Operands? {
    guard !named.inputs.isEmpty else { return nil }
    var inputs = try PatternCounts.zeros(attention.shape)
    for (name, path) in named.inputs { inputs.graphs[name] = try EdgeFile.edges(path) }
    _ = try attention.reading(inputs.graphs)
    return inputs
  }

  private func write(
    _ counts: PatternCounts, _ picture: PatternPicture, _ kind: String, to path: String,
    _ attention: any AttentionVariant
  ) throws {
    if kind == "npy" { return try counts.npy.write(to: path) }
    let settings = attention.configurationSummary.replacing(";", with: ", ")
    let ofHeads = attention.shape.queryHeads > 1 && !counts.isShared ? ", head \(head)" : ""
    let isRepeated = counts.counts.contains { $0 > 1 }
    let title =
      "\(variant)\(causal ? ", causal" : "")\(ofHeads)\(settings.isEmpty ? "" : ": " + settings)"
      + (isRepeated ? " (orange: more than once)" : "")
    let drawn = picture.picture(title: title)
    try Blocking.wait { try await drawn.write(to: path) }
  }
}
