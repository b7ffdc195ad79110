import CKernels
import Tensors

/// Windows over images as rows `[windows, terms]`: what each of them covers, and back.
///
/// The term `(i·size + j)·channels + c` of a row is channel c of the place (i, j) of its window.
struct Patches: Sendable {
  let shape: ConvolutionShape
  /// The places of the images.
  let grid: Grid
  /// The windows of an image.
  let result: Grid

  /// What lies side by side: a row of a window, or one place of it.
  private var run: Int { (shape.isDense ? shape.window.size : 1) * shape.groupInput }

  /// Where some terms of a run lie in a row of the image, those that fall on padding left out.
  /// - Parameters:
  ///   - column: the place where the run begins, maybe outside.
  ///   - terms: which of the run's.
  /// - Returns: the terms that lie inside.
  private func inside(_ terms: Range<Int>, from column: Int) -> Range<Int> {
    let start = column * shape.groupInput
    let first = min(max(terms.lowerBound, -start), terms.upperBound)
    return first..<max(first, min(terms.upperBound, grid.width * shape.groupInput - start))
  }

  /// Copies some terms of some windows; 0 where a window covers padding.
  /// - Parameters:
  ///   - windows: over all images.
  ///   - group: of channels.
  ///   - terms: of every window.
  ///   - x: the images.
  ///   - target: `[windows, terms]`.
  func read(
    _ windows: Range<Int>, group: Int, terms: Range<Int>, from x: UnsafePointer<Float>,
    to target: UnsafeMutablePointer<Float>
  ) {
    let (window, size, run) = (shape.window, shape.window.size, self.run)
    var target = target
    for place in windows {
      let (image, rest) = place.quotientAndRemainder(dividingBy: result.count)
      let top = rest / result.width * window.stride - window.padding
      let left = rest % result.width * window.stride - window.padding
      let base = x + image * grid.count * shape.input + group * shape.groupInput
      var term = terms.lowerBound
      while term < terms.upperBound {
        let (number, offset) = term.quotientAndRemainder(dividingBy: run)
        let (i, j) = shape.isDense ? (number, 0) : (number / size, number % size)
        let end = min(run, offset + terms.upperBound - term)
        let (y, column) = (top + window.dilation * i, left + window.dilation * j)
        let part = y < 0 || y >= grid.height ? end..<end : inside(offset..<end, from: column)
        target.update(repeating: 0, count: part.lowerBound - offset)
        if !part.isEmpty {
          (target + part.lowerBound - offset).update(
            from: base + (y * grid.width + column) * shape.input + part.lowerBound, count: part.count)
        }
        (target + part.upperBound - offset).update(repeating: 0, count: end - part.upperBound)
        target += end - offset
        term += end - offset
      }
    }
  }

  /// Rows of places, over all images, that some windows reach.
  func rows(under windows: Range<Int>) -> Range<Int> {
    func row(_ place: Int, _ shift: Int) -> Int {
      let (image, rest) = place.quotientAndRemainder(dividingBy: result.count)
      let y = rest / result.width * shape.window.stride - shape.window.padding + shift
      return image * grid.height + min(max(y, 0), grid.height - 1)
    }
    return row(windows.lowerBound, 0)..<row(windows.upperBound - 1, shape.window.reach - 1) + 1
  }

  /// Adds patches to the places that they were read of.
  /// - Parameters:
  ///   - patches: `[windows, terms]`.
  ///   - windows: over all images.
  ///   - group: of channels.
  ///   - rows: the rows of places, over all images, that are written.
  ///   - x: the images.
  ///   - isa: the instruction set.
  func add(
    _ patches: UnsafePointer<Float>, of windows: Range<Int>, group: Int, toRows rows: Range<Int>,
    of x: UnsafeMutablePointer<Float>, isa: Int32
  ) {
    let (window, size, run) = (shape.window, shape.window.size, self.run)
    for row in rows {
      let (image, y) = row.quotientAndRemainder(dividingBy: grid.height)
      let base = x + row * grid.width * shape.input + group * shape.groupInput
      for i in 0..<size {
        let (line, rest) = (y + window.padding - window.dilation * i).quotientAndRemainder(
          dividingBy: window.stride)
        guard rest == 0, line >= 0, line < result.height else { continue }
        let first = (image * result.height + line) * result.width
        for place in (first..<first + result.width).clamped(to: windows) {
          let left = (place - first) * window.stride - window.padding
          let source = patches + (place - windows.lowerBound) * shape.terms + i * size * shape.groupInput
          for j in 0..<(shape.isDense ? 1 : size) {
            let column = left + window.dilation * j, part = inside(0..<run, from: column)
            guard !part.isEmpty else { continue }
            attn_axpy(
              isa, 1, source + j * shape.groupInput + part.lowerBound,
              base + column * shape.input + part.lowerBound, part.count)
          }
        }
      }
    }
  }
}
