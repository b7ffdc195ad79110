import Basics
import Layers
import Tensors

/// A view of an image: a part of it, moved and enlarged to the whole, with noise.
///
/// The place (y, x) of the view reads the image at `(y₀ + (y + ½)·s − ½, x₀ + (x + ½)·s − ½)` with weights of the four nearest
/// pixels, and 0 outside. s is uniform in [crop, 1]; the part lies anywhere in the image, and is then moved by up to `shift` of a side.
/// All frames of a video are seen alike. Noise is N(0, noise²) on every number.
struct ImageView {
  let size: Double, top: Double, left: Double

  /// Draws a part.
  init(
    _ configuration: PretextConfiguration, height: Int, width: Int, _ generator: inout RandomGenerator
  ) {
    let size = configuration.crop + (1 - configuration.crop) * generator.uniform()
    func place(_ extent: Int) -> Double {
      let room = Double(extent) * (1 - size), moved = Double(extent) * configuration.shift
      return room * generator.uniform() + moved * (2 * generator.uniform() - 1)
    }
    (self.size, top, left) = (size, place(height), place(width))
  }

  /// The numbers of a view.
  /// - Parameters:
  ///   - image: `[frames·height, width, channels]`, row-major.
  ///   - noise: the standard deviation of the noise.
  func seen(
    _ image: ArraySlice<Float>, frames: Int, height: Int, width: Int, channels: Int, noise: Double,
    _ generator: inout RandomGenerator
  ) -> [Float] {
    let first = image.startIndex
    func pixel(_ frame: Int, _ y: Int, _ x: Int, _ channel: Int) -> Double {
      guard y >= 0, y < height, x >= 0, x < width else { return 0 }
      return Double(image[first + (((frame * height + y) * width) + x) * channels + channel])
    }
    var result: [Float] = []
    result.reserveCapacity(image.count)
    for frame in 0..<frames {
      for y in 0..<height {
        let row = top + (Double(y) + 0.5) * size - 0.5, y0 = row.rounded(.down), down = row - y0
        for x in 0..<width {
          let column = left + (Double(x) + 0.5) * size - 0.5, x0 = column.rounded(.down), right = column - x0
          let (i, j) = (Int(y0), Int(x0))
          for channel in 0..<channels {
            let upper = (1 - right) * pixel(frame, i, j, channel) + right * pixel(frame, i, j + 1, channel)
            let lower =
              (1 - right) * pixel(frame, i + 1, j, channel) + right * pixel(frame, i + 1, j + 1, channel)
            let added = noise == 0 ? 0 : noise * generator.normal()
            result.append(Float((1 - down) * upper + down * lower + added))
          }
        }
      }
    }
    return result
  }
}
