import ArgumentParser
import ArrayFiles
import AttentionCore
import Basics
import Commands
import Foundation
import Models
import Training
import Pages
import Pretrained
import Settings
import Tensors

/// `attnlab forward`: a checkpoint on given tokens, for comparison with other frameworks.
package struct ForwardCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "forward",
    abstract: "Run a checkpoint on tokens: logits, loss and gradients as files that other programs read.",
    discussion: HelpText.page(
      """
      Models of kind cnn and vit read images: --images x.npy, [batch, height, width] or with channels behind, targets [batch].

      Tokens and targets are integer arrays [batch, length] (.npy); targets below 0, or behind the end of their row
      (--lengths), do not count (for a classifier: [batch]). Logits, loss and gradients (of the mean loss, by parameter
      name) are those of evaluation: without dropout, BatchNorm by its running moments. --steps trains on these rows as
      attnlab train does on its own; --set takes the settings of a training (attnlab list training), and accumulation=K
      cuts the rows into K passes.

      --segment L reads the rows in segments of L tokens, each of which sees what the layers keep of the earlier ones
      (Transformer-XL): as many positions as the model's memory has, or --memory says. No gradient goes into the memory.

      The checkpoint may be the folder of a Hugging Face model (config.json beside model.safetensors), as for attnlab
      swap; through the prediction head of BERT, RoBERTa and DistilBERT there are logits and the loss, but no gradients.
      """,
      examples: [
        "attnlab forward --checkpoint m.safetensors --tokens t.npy --logits l.npy",
        "attnlab forward --checkpoint m.safetensors --tokens t.npy --targets y.npy --loss "
          + "--grads g.safetensors",
        "attnlab forward --checkpoint m.safetensors --tokens t.npy --attention maps.svg",
        "attnlab forward --checkpoint m.safetensors --tokens t.npy --targets y.npy --steps 10 "
          + "--set optimizer=sgd --set schedule=constant --set warmup=0 --save after.safetensors "
          + "--json",
      ]))

  @Option(help: "A model.safetensors or checkpoint.safetensors of attnlab train, or a Hugging Face folder.")
  var checkpoint: String

  @Option(help: "Integers [batch, length].")
  var tokens: String?

  @Option(
    help:
      "Of a model of several tasks: the auxiliary task whose head answers. Default: that of the main task.")
  var task: String?

  @Option(
    help: "Numbers [batch, height, width, channels], or with frames before the height, for kind vit and cnn.")
  var images: String?

  @Option(help: "Integers [batch, length] for the encoder of an encoder-decoder.")
  var source: String?

  @Option(help: "Integers [batch]: real tokens of each row; the rest is padding.")
  var lengths: String?

  @Option(help: "Integers [batch]: real tokens of each source row.")
  var sourceLengths: String?

  @Option(help: "Where logits go: float32 [batch, length, vocabulary] or [batch, classes].")
  var logits: String?

  @Option(help: "Integers [batch, length], or [batch] for a classifier.")
  var targets: String?

  @Flag(
    help:
      "Print the mean loss over counted targets, in nats; of a model with pretext masked the mean squared error of pixels."
  )
  var loss = false

  @Option(help: "Where the gradients of the mean loss go, by parameter name.")
  var grads: String?

  @Option(
    help:
      "Where attention weights go: .npy [layers, batch, heads, n, n], or heat maps of the first row, .svg or .png."
  )
  var attention: String?

  @Option(help: "Read the rows in segments of this many tokens, with a memory of the earlier ones.")
  var segment: Int?

  @Option(help: "Positions that every layer keeps of earlier segments. Default: the model's memory.")
  var memory: Int?

  @Option(help: "Take this many training steps on the same rows; --json has the loss before each.")
  var steps: Int?

  @Option(name: .customLong("set"), help: "A setting of these steps, name=value; may be repeated.")
  var sets: [String] = []

  @Option(help: "Write the model after the steps here.")
  var save: String?

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Flag(help: "Print JSON.")
  var json = false

  /// Creates the command; the parser needs it.
  package init() {}

  package func files() -> CommandFiles {
    var files = CommandFiles()
    for path in [checkpoint, tokens, images, source, lengths, sourceLengths, targets] { files.read(path) }
    for (flag, path) in [
      ("--logits", logits), ("--grads", grads), ("--save", save), ("--attention", attention),
    ] {
      files.write(path, flag)
    }
    return files
  }

  package func run() throws {
    try ThreadFlag.check(threads)
    let training = try training()
    try checkSegments(training)
    let needsTargets = loss || grads != nil || training != nil
    guard !needsTargets || targets != nil else {
      throw UsageError("--loss, --grads and --steps need --targets")
    }
    guard logits != nil || attention != nil || needsTargets else {
      throw UsageError("nothing to do: give --logits, --attention, --loss, --grads or --steps")
    }
    var input = try inputs.input()
    input.task = task
    let asked = input
    try Checkpoint.use(checkpoint, threads: threads) { try answer($0, asked, training) }
  }

  private func answer(
    _ pretrained: PretrainedModel, _ input: ModelInput, _ training: TrainingConfiguration?
  ) throws {
    let model = pretrained.model
    try check(input, for: pretrained, isTrained: grads != nil || training != nil)
    if let segment { return try answer(model, input, inSegmentsOf: segment) }
    if let attention {
      let maps = try AttentionMaps(pretrained.attention(input))
      try Blocking.wait { try await maps.write(to: attention) }
      told(attention)
    }
    if let logits { try write(pretrained.logits(input), to: logits) }
    guard targets != nil, loss || grads != nil || training != nil else { return }
    model.clearGradients()
    let found =
      pretrained.hasGradients
      ? try model.accumulateGradients(input, key: RandomKey(seed: 0), training: false)
      : try pretrained.loss(input)
    if let grads {
      try Safetensors(tensors: model.namedGradients()).write(to: grads)
      told(grads)
    }
    let losses = try training.map { try model.fit(input, $0) } ?? []
    if !json { for (step, loss) in losses.enumerated() { print("step \(step + 1)  loss \(loss)") } }
    if let save {
      try model.save(to: save)
      told(save)
    }
    report(found, losses)
  }

  /// Says what was written, as `attnlab apply` does.
  private func told(_ path: String, _ what: String = "written") {
    if !json { print("\(path): \(what)") }
  }

  private func write(_ tensor: Tensor, to path: String) throws {
    let array = NpyArray(tensor)
    try array.write(to: path)
    told(path, "\(array.type) \(array.shape)")
  }

  private func report(_ found: CrossEntropy, _ losses: [Double]) {
    if json {
      print(
        JSONValue.object([
          "loss": .number(found.mean), "counted": .int(found.rows), "accuracy": .number(found.accuracy),
          "losses": .array(losses.map(JSONValue.number)),
        ]).pretty)
    } else if loss {
      let (loss, accuracy) = (Quantity.significant(found.mean, 6), Quantity.significant(found.accuracy, 4))
      show("loss \(loss) over \(counted(found.rows, "target")), accuracy \(accuracy)")
    }
  }

  /// The same of rows that are read in segments.
  private func answer(_ model: TransformerModel, _ input: ModelInput, inSegmentsOf length: Int) throws {
    if let logits {
      try write(model.logits(input, inSegmentsOf: length, memory: memory), to: logits)
    }
    guard targets != nil, loss || grads != nil else { return }
    model.clearGradients()
    let found = try model.accumulateGradients(input, inSegmentsOf: length, memory: memory)
    if let grads {
      try Safetensors(tensors: model.namedGradients()).write(to: grads)
      told(grads)
    }
    report(found, [])
  }

  /// Makes sure that a checkpoint can do what is asked of it.
  private func check(_ input: ModelInput, for pretrained: PretrainedModel, isTrained: Bool) throws {
    try input.validate(for: pretrained.model.configuration)
    try pretrained.refusePadding(input.tokens, length: input.length, path: inputs.main)
    let asksLittle = logits == nil && targets == nil
    guard task != nil || pretrained.predicts || pretrained.model.configuration.classes > 0 || asksLittle
    else {
      throw UsageError("\(checkpoint): no head that predicts tokens, so no logits and no loss")
    }
    guard !isTrained || pretrained.hasGradients else {
      throw UsageError(
        "\(checkpoint): --grads and --steps are not computed through the head of a \(pretrained.family) model; "
          + "those of decoders and of attnlab train have gradients")
    }
  }

  private func checkSegments(_ training: TrainingConfiguration?) throws(UsageError) {
    guard segment == nil || task == nil else { throw UsageError("--task: it goes without --segment") }
    guard let segment else {
      guard memory == nil else { throw UsageError("--memory goes with --segment") }
      return
    }
    guard segment >= 1 else { throw UsageError("--segment \(segment): it takes 1 or more") }
    guard memory.map({ $0 >= 0 }) ?? true else {
      throw UsageError("--memory \(memory ?? 0): it takes 0 or more")
    }
    guard attention == nil else { throw UsageError("--attention: it shows whole rows; leave out --segment") }
    guard lengths == nil, source == nil else {
      throw UsageError("--segment reads whole rows of a decoder: leave out --lengths and --source")
    }
    guard training == nil else {
      throw UsageError("--segment: --steps are taken on whole rows; attnlab train trains on segments")
    }
  }

  /// The training that --steps and --set describe; `nil`: none.
  private func training() throws -> TrainingConfiguration? {
    guard let steps else {
      guard sets.isEmpty, save == nil else { throw UsageError("--set and --save go with --steps") }
      return nil
    }
    var settings = try ParameterValue.settings(parsing: sets)
    guard settings["steps"] == nil else { throw UsageError("--set steps: --steps says it already") }
    settings["steps"] = .int(steps)
    return try TrainingConfiguration(settings: settings)
  }

  /// What the model reads.
  private var inputs: ModelInputFiles {
    var inputs = ModelInputFiles()
    (inputs.tokens, inputs.images, inputs.targets) = (tokens, images, targets)
    (inputs.source, inputs.lengths, inputs.sourceLengths) = (source, lengths, sourceLengths)
    return inputs
  }
}
