import Basics
import RealModule
import Settings
import Tensors
import Testing

@testable import Vision

/// What is learned without labels.
@Suite struct PretextTests {
  @Test("the contrastive loss is its equation, and its gradient its slope")
  func contrastive() {
    var generator = RandomKey(seed: 1).generator()
    let width = 3, count = 6, temperature = 0.3
    let rows = (0..<count * width).map { _ in generator.normal() }
    func plain(_ rows: [Double]) -> Double {
      let unit = (0..<count).map { i -> [Double] in
        let row = Array(rows[i * width..<(i + 1) * width])
        let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return row.map { $0 / length }
      }
      func similarity(_ i: Int, _ j: Int) -> Double {
        zip(unit[i], unit[j]).reduce(0) { $0 + $1.0 * $1.1 } / temperature
      }
      return (0..<count).reduce(0) { sum, i in
        let others = (0..<count).filter { $0 != i }.reduce(0.0) { $0 + Double.exp(similarity(i, $1)) }
        return sum + Double.log(others) - similarity(i, (i + 3) % count)
      }
    }
    let (sum, gradient) = ContrastiveLoss.value(of: rows, width: width, temperature: temperature)
    #expect(abs(sum - plain(rows)) < 1e-12)
    for place in rows.indices {
      var high = rows, low = rows
      (high[place], low[place]) = (rows[place] + 1e-5, rows[place] - 1e-5)
      #expect(abs((plain(high) - plain(low)) / 2e-5 - gradient[place]) < 1e-7)
    }
  }

  @Test("one image has nothing to be told from: the loss is 0; rows of zeros have no gradient")
  func corners() {
    let (sum, gradient) = ContrastiveLoss.value(of: [1, 2, -1, 0.5], width: 2, temperature: 0.5)
    #expect(sum == 0 && gradient.allSatisfy { abs($0) < 1e-15 })
    let zeros = ContrastiveLoss.value(of: [0, 0, 0, 0, 0, 0, 0, 0], width: 2, temperature: 0.5)
    #expect(abs(zeros.sum - 4 * Double.log(3)) < 1e-12 && zeros.gradient.allSatisfy { $0 == 0 })
  }

  @Test("a view without crop, shift and noise is the image; a shift by whole pixels moves it")
  func views() {
    var configuration = PretextConfiguration()
    (configuration.crop, configuration.shift, configuration.noise) = (1, 0, 0)
    var generator = RandomKey(seed: 1).generator()
    let image = (0..<2 * 3 * 4 * 2).map { Float($0) }
    let view = ImageView(configuration, height: 3, width: 4, &generator)
    let seen = view.seen(
      image[...], frames: 2, height: 3, width: 4, channels: 2, noise: 0, &generator)
    #expect(seen == image)
    (configuration.crop, configuration.shift) = (0.5, 0.2)
    let other = ImageView(configuration, height: 3, width: 4, &generator)
    #expect(other.size >= 0.5 && other.size <= 1 && other.top >= -0.6 && other.top <= 3 * 0.5 + 0.6)
  }
}
