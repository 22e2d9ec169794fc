# Rules of mdl for make verify: all but two. Line width is a convention of the
# editor (.editorconfig), and blocks that quote output have no language.
all
exclude_rule 'MD013'
exclude_rule 'MD040'
rule 'MD024', :allow_different_nesting => true
rule 'MD029', :style => 'ordered'
