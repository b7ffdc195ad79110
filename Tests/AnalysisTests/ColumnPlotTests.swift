import LeastSquares
import ScalingLaws
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

  @Test(
    "the unit of a loss is that of the training that a row names, where another table says of which model it is"
  )
  func unitsOfTrainings() throws {
    let curves = try CSVTable(
      text: "run_id,step,validation_loss\na,1,3\na,2,2\nb,1,3\n", file: "curves.csv")
    let runs = try CSVTable(
      text: "run_id,model_configuration\na,kind=vit;pretext=masked\nb,kind=decoder\n", file: "runs.csv")
    func label(_ filter: String, _ trainings: CSVTable?) throws -> String? {
      var request = ColumnPlot.Request(x: "step", y: "validation_loss")
      (request.filter, request.trainings) = (filter, trainings)
      return try ColumnPlot.figure(curves, request).panels.first?.y.label
    }
    #expect(try label("run_id == 'a'", runs) == "validation loss (mean squared error)")
    #expect(try label("run_id == 'b'", runs) == "validation loss (nats)")
    #expect(try label("step > 0", runs) == "validation loss (nats, or mean squared error)")
    #expect(try label("step > 0", nil) == "validation loss (nats)")
  }

  @Test("a column of this program has the unit that it is declared with, in plots and in fits alike")
  func declaredUnits() throws {
    let lengths: [Double] = [256, 512, 1024, 2048, 4096]
    let data = try FitData(x: lengths, y: lengths.map { 1e-6 * $0 * $0 }, name: "query_length")
    var record = FitRecord(group: nil, fit: try Fitter(PowerLaw()).fit(data))
    record.responseName = "seconds_median"
    let panels = FitFigure([record]).figure.panels
    #expect(panels[0].x == .init("query length (tokens)", .length))
    #expect(panels[0].y == .init("median time", .seconds))
    #expect(panels[1].x == panels[0].x)
    #expect(Figure.Axis.column("compute_flops", isLog: true) == .init("compute flops (operations)", .log))
    #expect(Figure.Axis.column("test_loss", isLog: false) == .init("test loss (nats)", .linear))
    #expect(Figure.Axis.column("tokens", isLog: true) == .init("tokens", .log))
    #expect(Figure.Axis.column("their own", isLog: true) == .init("their own", .log))
  }
}
