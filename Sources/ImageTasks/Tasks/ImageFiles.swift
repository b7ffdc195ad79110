import Basics
import Settings
import Tasks
import Tensors

/// Classification of a user's images: `.npy` or IDX files of images and labels.
///
/// Images are `[count, height, width]` or `[count, height, width, channels]`, labels `[count]` of whole numbers from 0. Pixels are
/// divided by `scale` (0: by 255 where they are bytes, else by the largest absolute value). An image of which the same stood before, whatever
/// its class, is passed over: no image is in two splits. Of every eight images, in the order of a hash of their pixels, one is for
/// validation, one for test and six are to learn from; where files for the test are named, they are the test, without those that
/// are among the others, and of every eight others one is for validation. Training draws images; validation and test come in turn.
public struct ImageFiles: SequenceTask {
  /// The files.
  public struct Configuration: ParameterSet {
    /// The file of images.
    public var images = ""
    /// The file of labels.
    public var labels = ""
    /// The file of images for the test; empty: a part of the others.
    public var testImages = ""
    /// The file of their labels.
    public var testLabels = ""
    /// What pixels are divided by; 0: what fits.
    public var scale = 0.0

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .text("images", \.images, allowed: "a file", help: "[count, height, width(, channels)], .npy or IDX"),
      .text("labels", \.labels, allowed: "a file", help: "[count], whole numbers from 0, .npy or IDX"),
      .text(
        "test_images", \.testImages, allowed: "a file, or nothing",
        help: "images for the test; nothing: an eighth of the others"),
      .text("test_labels", \.testLabels, allowed: "a file, or nothing", help: "their labels"),
      .real(
        "scale", \.scale, in: 0...1e9, help: "pixels are divided by it; 0: 255 for bytes, else the largest"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "images", title: "Images of one's own",
    paper: "LeCun et al. 1998, Gradient-based learning applied to document recognition (the format IDX)",
    idea: "the class of a user's images")

  /// The configuration in force.
  public let configuration: Configuration
  /// The marks of the files: a training that goes on over others is refused.
  public let text: TextCorpus?
  private let key: RandomKey
  private let all: ImageSet
  private let tests: ImageSet?
  private let numbers: [Split: [Int]]

  /// Reads the files.
  /// - Throws: `TextError`, `FileFailure`, `NpyError`: a file that is not named, cannot be read, or does not fit the others.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    (self.configuration, self.key) = (configuration, key)
    guard !configuration.images.isEmpty, !configuration.labels.isEmpty else {
      let name = configuration.images.isEmpty ? "images" : "labels"
      throw TextError("task.\(name): no file is named; give task.images and task.labels, .npy or IDX")
    }
    guard configuration.testImages.isEmpty == configuration.testLabels.isEmpty else {
      throw TextError("task.test_images and task.test_labels: one file is named; give both or neither")
    }
    var all = try ImageSet(images: configuration.images, labels: configuration.labels)
    var tests =
      configuration.testImages.isEmpty
      ? nil : try ImageSet(images: configuration.testImages, labels: configuration.testLabels)
    if let tests, tests.grid != all.grid || tests.channels != all.channels {
      throw TextError(
        "\(configuration.testImages): images of \(tests.grid) × \(tests.channels); "
          + "\(configuration.images) has \(all.grid) × \(all.channels)")
    }
    let largest = all.pixels.reduce(0) { max($0, abs($1)) }
    let scale = configuration.scale > 0 ? Float(configuration.scale) : all.isByte ? 255 : largest
    numbers = ImageFiles.splits(all, tests)
    if scale > 0 {
      all.divide(by: scale)
      tests?.divide(by: scale)
    }
    (self.all, self.tests) = (all, tests)
    for split in Split.allCases where (numbers[split] ?? []).isEmpty {
      throw TextError(
        "\(split == .test && tests != nil ? configuration.testImages : configuration.images): no image is for "
          + "\(split.rawValue); at least 8 different ones are needed")
    }
    let files = [
      configuration.images, configuration.labels, configuration.testImages, configuration.testLabels,
    ]
    let marks = try files.filter { !$0.isEmpty }.map { Fingerprint.of(try InputFile.bytes($0)) }
    text = TextCorpus(bytes: Array(marks.joined(separator: " ").utf8), named: configuration.images)
  }

  /// Which images are for what, those that stood before left out.
  private static func splits(_ all: ImageSet, _ tests: ImageSet?) -> [Split: [Int]] {
    func hash(_ image: [Float]) -> UInt64 {
      SplitMix64.mix(Fingerprint.hash(words: image.map { UInt64($0.bitPattern) }))
    }
    var seen: Set<UInt64> = []
    var order: [(hash: UInt64, number: Int)] = []
    for number in 0..<all.count {
      let mark = hash(all.image(number))
      if seen.insert(mark).inserted { order.append((mark, number)) }
    }
    var numbers: [Split: [Int]] = [:]
    order.sort { $0.hash < $1.hash }
    for (place, image) in order.enumerated() {
      let split: Split = place % 8 == 3 ? .validation : place % 8 == 7 && tests == nil ? .test : .train
      numbers[split, default: []].append(image.number)
    }
    if let tests {
      numbers[.test] = (0..<tests.count).filter { seen.insert(hash(tests.image($0))).inserted }
    }
    return numbers
  }

  /// The class of an image.
  public var kind: TaskKind { .classification }
  /// Rows are no tokens.
  public var vocabularySize: Int { 1 }
  /// Pixels.
  public var length: Int { all.grid.count }
  /// Numbers of a pixel.
  public var featureWidth: Int { all.channels }
  /// Places of the pixels.
  public var grid: Grid? { all.grid }
  /// One more than the largest label.
  public var classCount: Int { Int(max(all.labels.max() ?? 0, tests?.labels.max() ?? 0)) + 1 }

  /// Images of a split.
  public func imageCount(of split: Split) -> Int { numbers[split]?.count ?? 0 }

  /// Rows of images.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    precondition(index >= 0 && batchSize >= 1, "batch \(index) of \(batchSize) rows")
    let chosen = numbers[split] ?? [], set = split == .test ? tests ?? all : all
    let examples = (0..<batchSize).map { row in
      let number = index * batchSize + row
      var generator = key(split.rawValue)(number).generator()
      let image = chosen[split == .train ? generator.integer(below: chosen.count) : number % chosen.count]
      return Example(
        features: set.image(image), rows: length, label: set.labels[image], identity: [])
    }
    return try TaskBatch(describing: examples, of: self)
  }
}
