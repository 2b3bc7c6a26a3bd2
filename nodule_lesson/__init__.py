"""The package of the lesson *From a variational idea to a layer*.

It teaches and reproduces Zhang et al., arXiv 2410.20154. One module a topic; begin with
`nodule_lesson.std`. For teaching, not for clinical use.
"""
