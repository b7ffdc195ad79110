import Basics
import Settings
import Tasks
import Tensors

/// An image without noise.
public struct LabelledImage: Sendable {
  /// `[height·width, channels]`, from 0 to 1.
  public var pixels: [Float]
  /// The class.
  public var label: Int

  /// Creates an image.
  public init(pixels: [Float], label: Int) { (self.pixels, self.label) = (pixels, label) }
}

/// What draws images of some classes.
public protocol ImageSource: Sendable {
  /// The places of an image.
  var grid: Grid { get }
  /// Numbers of a pixel.
  var channels: Int { get }
  /// Classes.
  var classCount: Int { get }
  /// Draws an image.
  /// - Throws: `ConfigurationError` when the settings allow none.
  func image(_ generator: inout RandomGenerator) throws(ConfigurationError) -> LabelledImage
}

extension LabelledImage {
  /// What decides the split of the image: its greys in 256 steps, so that noise added to it does not.
  var identity: [Int32] { pixels.map { Int32(($0 * 255).rounded()) } }

  /// The example, with noise N(0, σ²) on every number.
  func example(noise: Double, _ generator: inout RandomGenerator, rows: Int) -> Example {
    let seen = noise == 0 ? pixels : pixels.map { $0 + Float(noise * generator.normal()) }
    return Example(features: seen, rows: rows, label: Int32(label), identity: identity)
  }
}

/// Classification of images that are drawn one by one: rows of an example are pixels, row by row.
public protocol DrawnImageTask: GeneratedTask {
  /// What draws.
  associatedtype Source: ImageSource
  /// What draws them.
  var source: Source { get }
  /// The standard deviation of the noise on every number.
  var noise: Double { get }
}

extension DrawnImageTask {
  /// The class of an image.
  public var kind: TaskKind { .classification }
  /// Rows are no tokens.
  public var vocabularySize: Int { 1 }
  /// Pixels.
  public var length: Int { source.grid.count }
  /// Numbers of a pixel.
  public var featureWidth: Int { source.channels }
  /// Places of the pixels.
  public var grid: Grid? { source.grid }
  /// Kinds of image.
  public var classCount: Int { source.classCount }

  /// Draws an image and adds noise.
  public func example(_ generator: inout RandomGenerator) throws(ConfigurationError) -> Example {
    try source.image(&generator).example(noise: noise, &generator, rows: length)
  }
}
