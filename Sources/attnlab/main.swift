import AttentionCore
import AttentionLab

AttentionLab.main(catalog: Catalog([]))
