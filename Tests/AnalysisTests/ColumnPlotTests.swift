import Testing

@testable import Analysis
@testable import Figures
@testable import Records

/// One column of a file over another.
@Suite struct ColumnPlotTests {
  @Test("A loss over steps is drawn on linear axes unless logarithms are asked for; units are said once")
  func axes() throws {
    let table = try CSVTable(
      text:
        "step,train/loss,seconds,peak_bytes,query_length\n1,5,1,9,2\n2,4,2,99,4\n9,3,3,999,8\n10,3,4,9999,16\n11,2,5,99999,32\n",
      file: "t.csv")
    func panel(_ x: String, _ y: String, _ log: ColumnPlot.Request.Logarithmic? = nil) throws -> Figure.Panel
    {
      var request = ColumnPlot.Request(x: x, y: y)
      request.logarithmic = log
      return try #require(ColumnPlot.figure(table, request).panels.first)
    }
    let curve = try panel("step", "train/loss")
    #expect(curve.x == .init("step", .linear) && curve.y == .init("train/loss", .linear))
    #expect(curve.curves[0].law.isEmpty)
    #expect(try panel("step", "train/loss", .x).x.scale == .log)
    #expect(try panel("step", "train/loss", .both).y.scale == .log)
    let sizes = try panel("query_length", "peak_bytes")
    #expect(sizes.x == .init("query length (tokens)", .length) && sizes.y == .init("peak", .bytes))
    #expect(try panel("query_length", "peak_bytes", Optional.none).curves[0].law.isEmpty == false)
    #expect(try panel("query_length", "peak_bytes", .x).y == .init("peak (bytes)", .linear))
    #expect(try panel("step", "seconds").y == .init("time", .seconds))
    #expect(try panel("step", "seconds", .x).y == .init("time (s)", .linear))
  }
}
