import ArgumentParser
import ArrayFiles
import AttentionCore
import Basics
import Commands
import Foundation
import Models
import Pages
import Pretrained
import Processes
import Tensors

/// `attnlab generate`: a trained decoder or encoder–decoder continues text or tokens.
package struct GenerateCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue text or tokens with a trained model, token by token, with a key-value cache.",
    discussion: HelpText.page(
      """
      The checkpoint is a file of attnlab train, or the folder of a Hugging Face decoder (see attnlab swap). Text is
      read and written as bytes, for models that were trained on bytes (--json has � where they are no UTF-8); other models take
      token ids (.npy).
      Each layer keeps the keys and values that its attention can still see: a sliding window keeps its window. With
      separate global projections a second set is kept until the last global position has passed. Layers
      whose pattern depends on the length (random-sparse, lsh) cannot be continued from a cache; every token is then
      computed from the whole sequence. With a memory of segments (Transformer-XL) each layer sees so many positions before
      a token, and the prompt is read in segments of the model's maximum_length.
      """,
      examples: [
        #"attnlab generate --checkpoint results/train-text/model.safetensors "#
          + #"--prompt "public struct " --count 200"#,
        #"attnlab generate --checkpoint m.safetensors --prompt "let " --temperature 0.8 --top-k 20 "#
          + #"--seed 7"#,
        "attnlab generate --checkpoint gpt2 --tokens ids.npy --count 32 --out continued.npy",
        "attnlab generate --checkpoint reversal.safetensors --source words.npy --tokens start.npy "
          + "--stop 2",
      ]))

  @Option(help: "A model.safetensors or checkpoint.safetensors of attnlab train, or a Hugging Face folder.")
  var checkpoint: String

  @Option(help: "Text to continue, read as bytes.")
  var prompt: String?

  @Option(help: "Instead of --prompt: integers [length] or [batch, length] (.npy) to continue.")
  var tokens: String?

  @Option(help: "Integers [batch] (.npy): real tokens of each row of --tokens; the rest is padding.")
  var lengths: String?

  @Option(help: "What the encoder of an encoder-decoder reads: integers [length] or [batch, length] (.npy).")
  var source: String?

  @Option(help: "Integers [batch] (.npy): real tokens of each row of --source; the rest is padding.")
  var sourceLengths: String?

  @Option(
    help:
      "Of a model of several tasks: the auxiliary task whose head answers. Default: that of the main task.")
  var task: String?

  @Option(help: "New tokens, at most.")
  var count = 100

  @Option(help: "Divides the logits before a token is drawn; 0: the likeliest token always.")
  var temperature = 0.0

  @Option(help: "Only this many of the likeliest tokens are drawn from; 0: all. It needs a temperature.")
  var topK = 0

  @Option(help: "The seed of the draws.")
  var seed: UInt64 = 1

  @Option(help: "The token that ends the text; it is not written.")
  var stop: Int32?

  @Flag(help: "Compute every token from the whole sequence, or from the rows that a memory keeps.")
  var noCache = false

  @Option(help: "Earlier positions that every layer sees. Default: the model's memory; without one all.")
  var memory: Int?

  @Option(
    help: "Write the new tokens: int32 [batch, the longest row], -1 after the end of a shorter one (.npy).")
  var out: String?

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Flag(help: "Print JSON.")
  var json = false

  /// Creates the command; the parser needs it.
  package init() {}

  package func files() -> CommandFiles {
    var files = CommandFiles()
    for path in [checkpoint, tokens, lengths, source, sourceLengths] { files.read(path) }
    files.write(out, "--out")
    return files
  }

  package func run() throws {
    try ThreadFlag.check(threads)
    try checkNumbers()
    let prompts = try prompts()
    let sources = try source.map { try TokenFile.rows($0, lengths: sourceLengths) }
    guard sources.map({ $0.count == prompts.count }) ?? true else {
      throw UsageError("--source has \(sources?.count ?? 0) rows; there are \(prompts.count) to continue")
    }
    try Checkpoint.use(checkpoint, threads: threads) { try generate(with: $0, prompts, sources) }
  }

  private func generate(
    with pretrained: PretrainedModel, _ prompts: [[Int32]], _ sources: [[Int32]]?
  ) throws {
    guard pretrained.generates else {
      throw UsageError(
        "\(checkpoint): a model of kind \(pretrained.model.configuration.kind.rawValue) does not generate; "
          + "a decoder or an encoder-decoder does")
    }
    let head = try pretrained.model.configuration.head(of: task), vocabulary = head.tokens
    guard head.classes == 0 else {
      throw UsageError("--task \(task ?? ""): its head tells classes; attnlab forward gives their logits")
    }
    guard stop.map({ (0..<Int32(vocabulary)).contains($0) }) ?? true else {
      throw UsageError("--stop \(stop ?? 0): it takes a token id from 0 to \(vocabulary - 1)")
    }
    guard topK <= vocabulary else {
      throw UsageError("--top-k \(topK): it takes 0 to \(vocabulary), the tokens that there are")
    }
    guard prompt == nil || vocabulary == 256 else {
      throw UsageError(
        "--prompt is read as bytes, 256 of them; this model has \(vocabulary) tokens: give --tokens IDS.npy")
    }
    let clock = ContinuousClock(), start = clock.now
    let results = try prompts.enumerated().map { row, prompt in
      try pretrained.model.generate(
        prompt: prompt, count: count, source: sources?[row] ?? [],
        sampling: Sampling(
          temperature: temperature, topK: topK, key: RandomKey(seed: seed)("row")(row)),
        stop: stop, useCache: !noCache, memory: memory, task: task)
    }
    let seconds = (clock.now - start) / .seconds(1)
    if let out { try write(results, to: out) }
    report(results, seconds: seconds)
  }

  private func checkNumbers() throws(UsageError) {
    guard lengths == nil || tokens != nil else { throw UsageError("--lengths goes with --tokens") }
    guard sourceLengths == nil || source != nil else {
      throw UsageError("--source-lengths goes with --source")
    }
    guard count >= 1 else { throw UsageError("--count \(count): it takes 1 or more") }
    guard temperature >= 0, temperature.isFinite else {
      throw UsageError("--temperature \(temperature): it takes 0 or more")
    }
    guard topK >= 0 else { throw UsageError("--top-k \(topK): it takes 0 or more") }
    guard memory.map({ $0 >= 1 }) ?? true else {
      throw UsageError("--memory \(memory ?? 0): it takes 1 or more")
    }
    guard topK == 0 || temperature > 0 else {
      throw UsageError("--top-k \(topK): nothing is drawn at --temperature 0; give one above 0")
    }
  }

  /// The rows to continue.
  private func prompts() throws -> [[Int32]] {
    switch (prompt, tokens) {
    case (let text?, nil):
      guard !text.isEmpty else { throw UsageError("--prompt is empty: it takes at least one byte of text") }
      return [text.utf8.map { Int32($0) }]
    case (nil, let path?): return try TokenFile.rows(path, lengths: lengths)
    default: throw UsageError("give --prompt TEXT or --tokens IDS.npy, one of the two")
    }
  }

  private func write(_ results: [Generation], to path: String) throws {
    let columns = results.map(\.tokens.count).max() ?? 0
    let values = results.flatMap { row in
      row.tokens.map { Int64($0) } + [Int64](repeating: -1, count: columns - row.tokens.count)
    }
    try NpyArray(values, shape: [results.count, columns], as: .int32).write(to: path)
  }

  private func report(_ results: [Generation], seconds: Double) {
    let made = results.reduce(0) { $0 + $1.tokens.count }
    let peak = results.map(\.peakCacheBytes).max() ?? 0
    let usedCache = results.allSatisfy(\.usedCache)
    if json {
      let rows = results.map { result in
        JSONValue.object([
          "tokens": .array(result.tokens.map { .int(Int($0)) }), "text": .text(text(result)),
          "cache_bytes": .int(result.cacheBytes), "peak_cache_bytes": .int(result.peakCacheBytes),
          "used_cache": .bool(result.usedCache),
        ])
      }
      print(JSONValue.object(["rows": .array(rows), "seconds": .double(seconds)]).pretty)
      return
    }
    for result in results {
      guard let prompt else {
        print(result.tokens.map { "\($0)" }.joined(separator: " "))
        continue
      }
      // Bytes as they are: a character may be cut in two, or be none.
      let bytes = Array(prompt.utf8) + result.tokens.map { UInt8(clamping: $0) } + Array("\n".utf8)
      StandardOutput.write(bytes)
    }
    let cache =
      usedCache
      ? "keys and values: \(Quantity.describe(bytes: Double(peak))) at most"
      : peak > 0
        ? "memory: \(Quantity.describe(bytes: Double(peak))) at most, keys and values made again for every token"
        : "no key-value cache: every token from the whole sequence"
    Terminal.note(
      "\(counted(made, "token")) in \(Quantity.describe(seconds: seconds)), "
        + "\(Quantity.significant(Double(made) / seconds, 3)) a second; \(cache)")
  }

  /// Bytes as text, when text was asked for.
  private func text(_ result: Generation) -> String? {
    guard prompt != nil else { return nil }
    return String(decoding: result.tokens.map { UInt8(clamping: $0) }, as: UTF8.self)
  }
}
