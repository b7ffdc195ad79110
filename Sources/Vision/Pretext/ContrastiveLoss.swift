import RealModule
import Tensors

/// The contrastive loss of two views of every image (InfoNCE, NT-Xent).
///
/// Of rows z `[2·images, width]`, the second views behind the first: `s_ij = z_i·z_j/(|z_i||z_j|·τ)`, and
/// `L = Σ_i (log Σ_{j ≠ i} e^{s_ij} − s_{i,p(i)})`, p(i) the other view of the same image. In Double. O(images²·width).
/// - Source: van den Oord et al., 2018 (InfoNCE); Chen et al., 2020 (SimCLR, arXiv:2002.05709).
public enum ContrastiveLoss {
  /// The sum over all rows, and its gradient.
  /// - Parameters:
  ///   - rows: `[2·images, width]`, row-major.
  ///   - width: numbers of a row.
  ///   - temperature: τ.
  /// - Precondition: an even number of rows.
  public static func value(
    of rows: [Double], width: Int, temperature: Double
  ) -> (sum: Double, gradient: [Double]) {
    let count = rows.count / width, half = count / 2
    precondition(count % 2 == 0 && rows.count == count * width, "\(rows.count) numbers as rows of \(width)")
    // A row of zeros has no direction: its cosines are 0, and so is its gradient.
    let lengths = (0..<count).map { row in
      rows[row * width..<(row + 1) * width].reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
    var unit = rows
    for place in unit.indices { unit[place] /= max(lengths[place / width], 1e-12) }
    var sum = 0.0, gradient = [Double](repeating: 0, count: rows.count)
    for i in 0..<count {
      var scores = (0..<count).map { j -> Double in
        var dot = 0.0
        for t in 0..<width { dot += unit[i * width + t] * unit[j * width + t] }
        return dot / temperature
      }
      scores[i] = -.infinity
      let other = (i + half) % count, largest = scores.max() ?? 0
      let total = scores.reduce(0) { $0 + Double.exp($1 - largest) }
      sum += largest + Double.log(total) - scores[other]
      for j in 0..<count where j != i {
        let slope = (Double.exp(scores[j] - largest) / total - (j == other ? 1 : 0)) / temperature
        for t in 0..<width {
          gradient[i * width + t] += slope * unit[j * width + t]
          gradient[j * width + t] += slope * unit[i * width + t]
        }
      }
    }
    // Through the lengths: dz = (du − u·(u·du))/|z|.
    for row in 0..<count {
      let range = row * width..<(row + 1) * width
      let along = range.reduce(0) { $0 + unit[$1] * gradient[$1] }
      for place in range {
        gradient[place] =
          lengths[row] < 1e-12 ? 0 : (gradient[place] - along * unit[place]) / lengths[row]
      }
    }
    return (sum, gradient)
  }
}
