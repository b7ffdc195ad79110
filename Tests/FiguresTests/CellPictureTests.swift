import Basics
import Testing

@testable import Figures

@Suite("pictures of cells")
struct CellPictureTests {
  private static let blue = CellPicture.Colour(0, 0, 255), white = CellPicture.Colour(255, 255, 255)

  private var picture: CellPicture {
    var picture = CellPicture(width: 40, height: 30)
    picture.add("a <b> & c", x: 5, y: 10, .middle)
    picture.add(
      .init(
        x: 10, y: 12, side: 4, rows: 2, columns: 3,
        colours: [Self.blue, Self.blue, Self.white, Self.white, Self.blue, Self.white]))
    return picture
  }

  @Test("SVG: a box for every run, none for white, text that is no mark-up")
  func svg() {
    let text = picture.svg
    #expect(text.contains("<path fill=\"#0000ff\" d=\"M0 0h2v1H0zM1 1h1v1H1z\"/>"), "\(text)")
    #expect(text.contains(">a &lt;b&gt; &amp; c</text>") && text.contains("viewBox=\"0 0 40 30\""))
  }

  @Test("PNG: twice the size, whatever a text holds")
  func png() async throws {
    var picture = picture
    picture.add("\"`date`\" 'x' @y\n\\", x: 5, y: 20, .start)
    let bytes = try await picture.png()
    #expect(Array(bytes.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
    // Width and height stand in the header, as big-endian numbers of four bytes.
    #expect(Array(bytes[16..<24]) == [0, 0, 0, 80, 0, 0, 0, 60])
  }
}
