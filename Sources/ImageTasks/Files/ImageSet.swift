import ArrayFiles
import Basics
import Tasks
import Tensors

/// Images and their classes out of a user's files.
struct ImageSet {
  /// The places of an image.
  let grid: Grid
  /// Numbers of a pixel.
  let channels: Int
  /// `[images, places·channels]`, as they stand in the file.
  private(set) var pixels: [Float]
  /// A class for every image.
  let labels: [Int32]
  /// Whether pixels are bytes.
  let isByte: Bool

  var count: Int { labels.count }
  /// Numbers of an image.
  var size: Int { grid.count * channels }

  /// The numbers of an image.
  func image(_ number: Int) -> [Float] { Array(pixels[number * size..<(number + 1) * size]) }

  /// Divides all pixels.
  mutating func divide(by scale: Float) {
    for place in pixels.indices { pixels[place] /= scale }
  }

  /// Reads a file of images and one of labels, `.npy` or IDX.
  /// - Throws: `TextError`, `FileFailure`, `NpyError`: a file that cannot be read or does not fit the other, in one line.
  init(images: String, labels: String) throws {
    let (values, shape, isByte) = try ImageSet.array(images)
    guard shape.count == 3 || shape.count == 4, !shape.contains(0) else {
      throw TextError(
        "\(images): shape \(shape); images take [count, height, width] or [count, height, width, channels], none 0"
      )
    }
    guard shape.count == 3 || shape[3] <= 1024 else {
      throw TextError("\(images): shape \(shape); the last axis is the channels, at most 1024")
    }
    (grid, channels) = (Grid(height: shape[1], width: shape[2]), shape.count == 4 ? shape[3] : 1)
    self.isByte = isByte
    pixels = values.map { Float($0) }
    if let bad = pixels.firstIndex(where: { !$0.isFinite }) {
      let size = pixels.count / shape[0]
      throw TextError(
        "\(images): image \(bad / size) has \(values[bad]) at number \(bad % size); finite numbers are needed"
      )
    }
    let (classes, extents, _) = try ImageSet.array(labels)
    guard extents.count == 1 else {
      throw TextError("\(labels): shape \(extents); labels take [count], a whole number for every image")
    }
    guard extents[0] == shape[0] else {
      throw TextError("\(labels): \(extents[0]) labels; \(images) has \(counted(shape[0], "image"))")
    }
    if let bad = classes.firstIndex(where: { !($0 >= 0 && $0 < 100_000 && $0 == $0.rounded()) }) {
      throw TextError("\(labels): label \(bad) is \(classes[bad]); whole numbers from 0 to 99999 are needed")
    }
    self.labels = classes.map { Int32($0) }
  }

  /// An array of a file, by what it begins with.
  private static func array(_ path: String) throws -> (values: [Double], shape: [Int], isByte: Bool) {
    let bytes = try InputFile.bytes(path)
    if bytes.starts(with: [0x1F, 0x8B]) {
      throw TextError("\(path): compressed with gzip; an unpacked file is needed (gunzip)")
    }
    if IDXFile.isIDX(bytes) { return try IDXFile.array(bytes, path: path) }
    let array = try NpyArray(bytes: bytes, path: path)
    return (array.doubles, array.shape, array.type == .uint8)
  }
}
