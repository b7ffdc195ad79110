import ArgumentParser
import ArrayFiles
import AttentionCore
import Basics
import Commands
import Foundation
import Models
import Pages
import Presets
import Pretrained
import Processes
import Settings
import Tensors

/// `attnlab swap`: how far a trained model's outputs move when its attention is replaced.
package struct SwapCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "swap",
    abstract: "Replace the attention of a trained model and report how far its outputs move.",
    discussion: HelpText.page(
      """
      The checkpoint is a file of attnlab train, or the folder of a Hugging Face model (config.json beside
      model.safetensors or its shards): BERT, RoBERTa, DistilBERT, GPT-2, Llama, Mistral, Qwen 2 and 3, Gemma 1 to 3,
      gpt-oss, Mamba 2, DeepSeek-V3, Qwen3-Next and Kimi Linear. Layers that are recurrences have other maps than
      attention: --layers names those that are replaced.
      Models of kind vit, and ViT of Hugging Face and timm, read --images x.npy, [batch, height, width, channels], in place of
      tokens; what is predicted is the class of an image.

      A model keeps its own keys under lsh only with --set shared_query_key=false. Global rows of local-global read the
      model's own projections (Hugging Face's models have no others); a checkpoint of attnlab train with separate global
      projections keeps them in layers that still have global rows.
      """,
      examples: [
        "attnlab swap --checkpoint gpt2 --variant sliding-window --set left=255 --tokens ids.npy",
        "attnlab swap --checkpoint bert-base-uncased --variant chunked --set chunk=64 --layers 0,1 --json",
        "attnlab swap --checkpoint gpt2 --variant sliding-window --set left=31 --tokens ids.npy --stats",
        "attnlab swap --checkpoint model.safetensors --attention 'sliding-window(left=63) x3, full'",
      ]))

  @Option(help: "A checkpoint of attnlab train, or a Hugging Face folder.")
  var checkpoint: String

  @Option(
    help: "The variant that takes the place of the model's attention; see attnlab list.",
    completion: .variants)
  var variant: String?

  @Option(
    name: .customLong("set"), help: "A setting of the variant, name=value; may be repeated.",
    completion: .settings)
  var sets: [String] = []

  @Option(help: "The blocks, from 0, whose attention is replaced, such as 0,2,5. Default: all.")
  var layers: String?

  @Option(
    help:
      "Instead of --variant: the attention of all blocks in turn, such as 'sliding-window(left=63) x3, full'."
  )
  var attention: String?

  @Option(help: "Token ids, .npy of integers [batch, length] or [length]. Default: random tokens.")
  var tokens: String?

  @Option(help: "Images, .npy of numbers [batch, height, width, channels], for kind vit. Default: N(0, 1).")
  var images: String?

  @Option(
    help:
      "Of a model of several tasks: the auxiliary task whose head answers. Default: that of the main task.")
  var task: String?

  @Option(help: "Random tokens of a row.")
  var n: Int?

  @Option(help: "Rows of random tokens, or random images.")
  var batch: Int?

  @Option(help: "The seed of the random tokens or images.")
  var seed: UInt64 = 1

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Option(help: "Write the swapped model's logits, .npy [batch, length, vocabulary] or [batch, classes].")
  var logits: String?

  @Option(
    help:
      "Write the swapped model's hidden states before and after every block, .npy [layers + 1, batch, length, width]."
  )
  var hidden: String?

  @Flag(
    help:
      "Tell of the weights, too, by block: largest score, entropy before and after, the share that lies on pairs that are still seen."
  )
  var stats = false

  @Flag(help: "Print JSON.")
  var json = false

  /// Creates the command; the parser needs it.
  package init() {}

  package func files() -> CommandFiles {
    var files = CommandFiles()
    for path in [checkpoint, tokens, images] { files.read(path) }
    for (flag, path) in [("--logits", logits), ("--hidden", hidden)] { files.write(path, flag) }
    return files
  }

  package func run() throws {
    try ThreadFlag.check(threads)
    try Checkpoint.use(checkpoint, threads: threads) { try swap($0) }
  }

  private func swap(_ pretrained: PretrainedModel) throws {
    let attention = try attention(for: pretrained.model.configuration)
    try noteUnread(attention)
    var input = try input(for: pretrained)
    input.task = task
    if logits != nil, !pretrained.predicts, pretrained.model.configuration.classes == 0 {
      throw UsageError("--logits: \(checkpoint) has no head that predicts tokens or classes")
    }
    let swap = try AttentionSwap(pretrained, attention: attention, on: input, tellsWeights: stats)
    if let hidden { try NpyArray(swap.states).write(to: hidden) }
    if let logits, let values = swap.logits { try NpyArray(values).write(to: logits) }
    let report = SwapReport(
      swap: swap, pretrained: pretrained, checkpoint: checkpoint, input: input,
      tokens: tokens ?? images ?? "random, seed \(seed)")
    show(report.text, or: report.json, if: json)
  }

  /// The line of attention that the swapped model has.
  private func attention(for model: ModelConfiguration) throws -> String {
    if let attention {
      guard variant == nil, sets.isEmpty, layers == nil else {
        throw UsageError("--attention says everything: leave out --variant, --set and --layers")
      }
      return Spelling.noted(line: attention)
    }
    guard let variant else {
      throw UsageError("--variant is missing: the variant that replaces the model's attention")
    }
    let catalog = Installed.catalog
    let settings = try ParameterValue.settings(parsing: sets)
    try VariantDescription(try catalog.type(of: variant)).check(settings)
    let replacement = LayerAttention(variant, settings: settings)
    var all = try model.layerAttention()
    for layer in try chosenLayers(of: all.count) { all[layer] = replacement }
    return all.map(\.description).joined(separator: ", ")
  }

  /// Says where keys of the model are read no more, which changes more than which of them count.
  private func noteUnread(_ line: String) throws {
    for layer in try LayerAttention.parse(line) {
      let type = try Installed.catalog.type(of: layer.id)
      let operands = try type.operands(settings: layer.settings)
      guard !operands.contains(where: { $0.name == .key }), operands.contains(where: { $0.name == .query })
      else {
        continue
      }
      Terminal.note(
        "note: \(layer) takes queries for keys; the model's own keys are not read (shared_query_key=false reads them)"
      )
      return
    }
  }

  private func chosenLayers(of count: Int) throws(UsageError) -> [Int] {
    guard let layers else { return Array(0..<count) }
    return try layers.split(separator: ",", omittingEmptySubsequences: false).map { word throws(UsageError) in
      guard let layer = Int(word.trimmed), (0..<count).contains(layer) else {
        throw UsageError("--layers \(layers): it takes numbers from 0 to \(count - 1), separated by commas")
      }
      return layer
    }
  }

  private func input(for pretrained: PretrainedModel) throws -> ModelInput {
    let model = pretrained.model.configuration
    if model.kind.readsImages { return try imageInput(for: model) }
    guard images == nil else { throw UsageError("--images: \(checkpoint) reads tokens; give --tokens") }
    guard let tokens else {
      let length = n ?? min(128, model.position == .learned ? model.maximumLength : 128), rows = batch ?? 1
      guard length >= 1, rows >= 1, rows <= (1 << 28) / length else {
        throw UsageError(
          "--n \(length) --batch \(rows): both take at least 1, and at most 2^28 tokens together")
      }
      var generator = RandomKey(seed: seed)("swap").generator()
      let padding = pretrained.paddingToken
      return ModelInput(
        batch: rows,
        tokens: (0..<rows * length).map { _ in
          var token = Int32(generator.integer(below: model.vocabulary))
          while token == padding { token = Int32(generator.integer(below: model.vocabulary)) }
          return token
        })
    }
    guard n == nil, batch == nil else {
      throw UsageError("--tokens has its own shape: leave out --n and --batch")
    }
    let rows = try TokenFile.rows(tokens)
    try pretrained.refusePadding(Array(rows.joined()), length: rows[0].count, path: tokens)
    return ModelInput(batch: rows.count, tokens: Array(rows.joined()))
  }

  /// What a model of images reads.
  private func imageInput(for model: ModelConfiguration) throws -> ModelInput {
    guard tokens == nil, n == nil else {
      throw UsageError("\(tokens == nil ? "--n" : "--tokens"): \(checkpoint) reads images; give --images")
    }
    guard let images else {
      let rows = batch ?? 1, numbers = model.images.height * model.images.width * model.features
      guard rows >= 1, rows <= (1 << 28) / max(1, numbers) else {
        throw UsageError("--batch \(rows): it takes at least 1, and at most 2^28 numbers together")
      }
      let shape = [rows, model.images.height, model.images.width, model.features]
      guard model.kind == .vit else {
        throw UsageError(
          "\(checkpoint): a model of kind \(model.kind.rawValue) has no variant of attention to replace")
      }
      return ModelInput(images: try Tensor.normal(shape, key: RandomKey(seed: seed)("swap")))
    }
    guard batch == nil else { throw UsageError("--images has its own shape: leave out --batch") }
    var files = ModelInputFiles()
    files.images = images
    return try files.input()
  }
}
