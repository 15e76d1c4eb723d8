"""
A platform that can only export and import files: CSV and XLSX drop folders, by a mapping file.

``document`` reads the mapping's ``[folder]`` section, ``csv_file`` and ``xlsx_file`` read rows,
``taking`` decides which files are whole and takes them, ``giving`` writes files, ``platform`` is both
for the runner, ``__main__`` the process.
"""
