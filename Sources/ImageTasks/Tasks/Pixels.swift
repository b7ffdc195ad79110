import Basics
import Settings
import Tasks
import Tensors

/// An image as a sequence of grey levels: what Long Range Arena asks of an encoder.
///
/// The images of another task, row by row, one token a pixel: `⌊levels·grey⌋`, greys of several channels averaged, those below 0 or
/// above 1 at the ends. Nothing says which pixels are neighbours but their order.
///
/// Source: Tay et al. 2020, Long Range Arena (arXiv:2011.04006), whose images are those of CIFAR-10 in grey, 1024 tokens of 256 levels.
public struct Pixels: SequenceTask {
  /// Whose images.
  public enum Images: String, CaseIterable, Hashable, Sendable {
    /// Those of the task digits.
    case digits
    /// Those of the task shapes.
    case shapes
    /// Those of the task pathfinder.
    case pathfinder
    /// A user's: those of the task images.
    case files
  }

  /// The settings.
  public struct Configuration: ParameterSet {
    /// Whose images.
    public var of = Images.shapes
    /// Pixels of a row and of a column, of images that are drawn.
    public var side = 32
    /// Grey levels.
    public var levels = 256
    /// The standard deviation of the noise of images that are drawn.
    public var noise = 0.1
    /// The file of images.
    public var images = ""
    /// The file of labels.
    public var labels = ""

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice("of", \.of, help: "whose images: those of the task of this name; files: one's own"),
      .integer(
        "side", \.side, in: 12...512, unit: "pixels",
        help: "pixels of a row and of a column; of files: theirs"),
      .integer("levels", \.levels, in: 2...65_536, help: "grey levels, the vocabulary"),
      .real("noise", \.noise, in: 0...10, help: "noise of images that are drawn; ink is 1"),
      .text("images", \.images, allowed: "a file", help: "images of files, as in the task images"),
      .text("labels", \.labels, allowed: "a file", help: "their labels"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "pixels", title: "Images as sequences of grey levels",
    paper: "Tay et al. 2020, Long Range Arena: a benchmark for efficient Transformers",
    idea: "tell an image that is read pixel by pixel as tokens")

  /// The configuration in force.
  public let configuration: Configuration
  private let task: any SequenceTask

  /// Creates the task.
  /// - Throws: as the task of the images does.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    self.configuration = configuration
    let (side, noise) = (ParameterValue.int(configuration.side), ParameterValue.double(configuration.noise))
    let square = ["height": side, "width": side, "noise": noise]
    task =
      switch configuration.of {
      case .digits: Digits(try .init(settings: square), key: key)
      case .shapes: Shapes(try .init(settings: square), key: key)
      case .pathfinder: Pathfinder(try .init(settings: ["side": side, "noise": noise]), key: key)
      case .files:
        try ImageFiles(
          .init(settings: [
            "images": .string(configuration.images), "labels": .string(configuration.labels),
          ]), key: key)
      }
  }

  /// The class of an image.
  public var kind: TaskKind { .classification }
  /// Grey levels.
  public var vocabularySize: Int { configuration.levels }
  /// Pixels.
  public var length: Int { task.length }
  /// Kinds of image.
  public var classCount: Int { task.classCount }
  /// The marks of a user's files.
  public var text: TextCorpus? { task.text }

  /// The same images as tokens.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    let batch = try task.batch(split: split, index: index, batchSize: batchSize)
    let values = batch.features?.values.array() ?? []
    let (channels, size) = (task.featureWidth, task.length * task.featureWidth)
    let examples = (0..<batchSize).map { row in
      let tokens = stride(from: row * size, to: (row + 1) * size, by: channels).map { pixel -> Int32 in
        let grey = values[pixel..<pixel + channels].reduce(0, +) / Float(channels)
        return Int32(min(Float(configuration.levels - 1), max(0, grey * Float(configuration.levels))))
      }
      return Example(inputs: tokens, label: batch.labels[row])
    }
    return try TaskBatch(describing: examples, of: self)
  }
}
